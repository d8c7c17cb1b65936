"""Finds stuck logs: matching, old, reread since and still not final."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.evaluation.rule_set import effective_start
from app.services.log_fields import version_columns
from app.services.rules.groups import group_key_of
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion

_READ = text(
    f"""
    SELECT 0, log.id, false, log.account_id, account.sid, log.sid, log.log_type, {version_columns("log")},
           log.occurred_at, log.changed_at, log.final, log.read_at
    FROM logs AS log JOIN accounts AS account ON account.id = log.account_id
    WHERE log.reread_at IS NOT NULL AND log.occurred_at <= :before AND log.changed_at >= :since AND account.enabled
    """
)
CHUNK = 5_000


def find(
    session: Session, index: RuleIndex, rules: Sequence[Rule], account_starts: Mapping[int, datetime], at: datetime
) -> dict[tuple[UUID, str], list[int]]:
    """Find the logs that are stuck at a minute.

    Args:    index: of the `stuck` rules; those that are not in `rules` are ignored.
    Returns: ids of logs by rule and group.
    """
    ages = {rule.id: rule.condition.min_age for rule in rules}
    youngest = at - min(ages.values())
    since = min(rule.started_at for rule in rules).replace(microsecond=0)
    found: dict[tuple[UUID, str], list[int]] = defaultdict(list)
    result = session.execute(_READ.execution_options(yield_per=CHUNK), {"before": youngest, "since": since})
    for rows in result.partitions(CHUNK):
        logs = [LogVersion(*row[:-1]) for row in rows]
        for row, log, matching in zip(rows, logs, index.match_batch(logs), strict=True):
            for rule in matching:
                age = ages.get(rule.id)
                if age is None or log.occurred_at > at - age or row.read_at < log.occurred_at + age:
                    continue
                if log.changed_at >= effective_start(rule, account_starts[log.account_id]):
                    found[rule.id, group_key_of(rule, log)].append(log.log_id)
        index.pop_failures()  # Failures were recorded when the logs changed.
    return found
