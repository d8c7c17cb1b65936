"""The health of rules: when they last matched and ran, and their errors."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import metrics
from app.bulk import Unnest

_COSTS = Unnest("asked", id="uuid", cost="float8")
_ERRORS = Unnest("asked", id="uuid", error="text", failing="bool", times="int")


def record_evaluation(session: Session, now: datetime) -> None:
    """Record that the enabled rules were evaluated, whether or not there was a minute to judge.

    Rules that another transaction locks are left for the next time.
    """
    session.execute(
        text(
            "UPDATE rules SET last_evaluated_at = :now WHERE id IN"
            " (SELECT id FROM rules WHERE enabled ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"
        ),
        {"now": now},
    )


def record_matches(session: Session, rule_ids: Sequence[UUID], cost_ms: float, now: datetime) -> None:
    """Record that these rules matched, and divide the cost of the evaluation among them.

    Args:    rule_ids: one per match.
    """
    if not rule_ids:
        return
    matches = Counter(rule_ids)
    ids = sorted(matches)
    session.execute(
        text(
            "WITH locked AS (SELECT id FROM rules WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)"
            " UPDATE rules SET last_matched_at = :now, cost_ms = asked.cost"
            f" FROM {_COSTS}"
            " JOIN locked USING (id) WHERE rules.id = asked.id"
        ),
        _COSTS.values([(rule_id, cost_ms * matches[rule_id] / len(rule_ids)) for rule_id in ids])
        | {"ids": ids, "now": now},
    )


def count_matches(session: Session, rule_ids: Sequence[UUID]) -> None:
    """Count matches for the metrics."""
    counts = Counter(rule_ids).items()
    metrics.count(session, {metrics.RULE_MATCHES.key(rule_id=str(rule_id)): count for rule_id, count in counts})


def record_errors(
    session: Session,
    errors: Mapping[UUID, str],
    now: datetime,
    failing: Collection[UUID] = (),
    logs: Mapping[UUID, int] = MappingProxyType({}),
) -> None:
    """Record the errors of these rules. The texts contain no data of logs.

    Args:
        failing: those that failed completely, not only on some logs.
        logs: the number of logs on which a rule failed.
    """
    if errors:
        session.execute(
            text(
                "UPDATE rules SET last_error = asked.error, last_error_at = :now,"
                " error_count = error_count + asked.times,"
                f" failed_at = CASE WHEN asked.failing THEN :now ELSE failed_at END FROM {_ERRORS}"
                " WHERE rules.id = asked.id"
            ),
            _ERRORS.values([(each, errors[each], each in failing, logs.get(each, 1)) for each in sorted(errors)])
            | {"now": now},
        )
