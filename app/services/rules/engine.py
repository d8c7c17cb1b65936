"""Runs the enabled rules over changes: reads the rule set, compiles it once, and finds what matches.

Evaluations hold the rule set's row shared while they work, and changes of rules hold it exclusively: an evaluation
sees one rule set throughout, and a rule that is made sees every change that is evaluated after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import models
from app.enums import PatternType
from app.services.rules.patterns import RuleIndex
from app.services.rules.types import LogVersion, Rule

BATCH = 5_000
"""Changes evaluated in one transaction."""
UNREADABLE_AFTER = timedelta(hours=1)
"""An account that cannot be read for so long holds back no resolve any more."""


@dataclass(frozen=True)
class RuleSet:
    """All enabled rules as they stand in one version."""

    rules: Mapping[UUID, Rule]
    index: RuleIndex


_last: dict[int, RuleSet] = {}
"""The rule set of the version seen last: compiling a thousand rules costs more than evaluating a page."""


def hold_rule_set(session: Session) -> RuleSet:
    """Return the present rule set, and keep it from changing until the end of the transaction."""
    version = session.scalar(select(models.RuleSet.version).with_for_update(read=True))
    assert version is not None, "the migrations make this row"
    if version not in _last:
        rows = session.scalars(
            select(models.Rule).where(models.Rule.enabled).order_by(models.Rule.created_at, models.Rule.id)
        )
        rules = tuple(as_value(row) for row in rows)
        _last.clear()
        _last[version] = RuleSet({rule.id: rule for rule in rules}, RuleIndex(rules))
    return _last[version]


def as_value(row: models.Rule) -> Rule:
    """Give a stored rule as the value that the index and the conditions work on."""
    return Rule(
        id=row.id,
        epoch=row.epoch,
        name=row.name,
        severity=row.severity,
        log_type=row.log_type,
        filters={field: frozenset(values) for field, values in row.filters.items() if values},
        pattern_type=PatternType(row.pattern_type),
        pattern_value=row.pattern_value,
        condition=row.condition,
        group_by=tuple(row.group_by),
        schedule=row.schedule,
        started_at=row.started_at,
        resolve_after_minutes=row.resolve_after_minutes,
        renotify_minutes=row.renotify_minutes,
        cooldown_minutes=row.cooldown_minutes,
    )


def waiting(session: Session) -> list[int]:
    """List the streams that have changes which are not yet evaluated."""
    return list(
        session.scalars(
            text(
                "SELECT stream_id FROM stream_evaluations AS done WHERE EXISTS"
                " (SELECT FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id) ORDER BY stream_id"
            )
        )
    )


def take_turn(session: Session, stream_id: int) -> int | None:
    """Become the one who evaluates a stream until the end of the transaction.

    Returns: the last change that is evaluated; None where somebody else is at it.
    """
    query = select(models.StreamEvaluation.change_id).where(models.StreamEvaluation.stream_id == stream_id)
    return session.scalar(query.with_for_update(skip_locked=True))


_READ = text(
    """
    SELECT change.id, change.log_id, change.is_first, log.account_id, account.sid, log.sid, log.log_type, change.status,
           log.level, log.direction, change.from_, log.to_, log.to_country, change.error_code, change.error_message,
           log.text_, change.price, log.price_unit, change.duration_seconds, change.segments,
           log.messaging_service_sid, log.resource_sid, log.occurred_at, change.changed_at, change.final
    FROM (
        SELECT * FROM log_changes WHERE stream_id = :stream_id AND id > :after ORDER BY id LIMIT :count
    ) AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
    ORDER BY change.id
    """
)


def read_changes(session: Session, stream_id: int, after: int) -> list[LogVersion]:
    """Read the next changes of a stream, at most `BATCH`, in the order in which they were stored."""
    # The tables grow faster than their statistics: on a guess the planner may read a whole month to find a page.
    session.execute(text("SET LOCAL enable_hashjoin = off"))
    session.execute(text("SET LOCAL enable_mergejoin = off"))
    rows = session.execute(_READ, {"stream_id": stream_id, "after": after, "count": BATCH})
    return [LogVersion(*row) for row in rows]


def finish_turn(session: Session, stream_id: int, change_id: int) -> None:
    """Note how far the stream is evaluated."""
    session.execute(
        text("UPDATE stream_evaluations SET change_id = :change_id WHERE stream_id = :stream_id"),
        {"change_id": change_id, "stream_id": stream_id},
    )


def unmatched(session: Session, pairs: Sequence[tuple[Rule, LogVersion]]) -> list[tuple[Rule, LogVersion]]:
    """Drop the pairs of rule and log that have matched before, now or in an earlier batch."""
    once: dict[tuple[UUID, int], tuple[Rule, LogVersion]] = {}
    for rule, log in pairs:
        once.setdefault((rule.id, log.log_id), (rule, log))
    # The first version of a log may stand in an earlier batch than this one: only then can it have matched.
    here = {log.log_id for _, log in once.values() if log.is_first}
    asked = [(rule.id, rule.epoch, log.log_id) for rule, log in once.values() if log.log_id not in here]
    if asked:
        rows = session.execute(
            text(
                "SELECT rule_id, log_id FROM matches WHERE (rule_id, epoch, log_id) IN (SELECT * FROM"
                " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:logs AS bigint[])))"
            ),
            {
                "rules": [row[0] for row in asked],
                "epochs": [row[1] for row in asked],
                "logs": [row[2] for row in asked],
            },
        )
        for rule_id, log_id in rows:
            del once[rule_id, log_id]
    return list(once.values())


@dataclass(frozen=True)
class Completeness:
    """How far each stream that counts is known whole."""

    streams: Sequence[tuple[str, str, datetime | None]]
    """(account_sid, log_type, complete_until) of the enabled, available streams of accounts that can be read."""

    def horizon(self, rule: Rule) -> datetime | None:
        """Return up to when all that this rule looks at has been listed; None where that is not known."""
        wanted = {rule.log_type} if rule.log_type != "any" else {"call", "message", "error"}
        if "call" in wanted and rule.pattern_type == PatternType.ERROR_CODE:
            wanted.add("error")
        accounts = rule.filters.get("account_sid")
        until = [at for sid, kind, at in self.streams if kind in wanted and (accounts is None or sid in accounts)]
        known = [at for at in until if at is not None]
        return min(known) if known and len(known) == len(until) else None


def completeness(session: Session, now: datetime) -> Completeness:
    """Read how far the streams are known whole; accounts that cannot be read for an hour are left out."""
    rows = session.execute(
        select(models.Account.sid, models.Stream.log_type, models.Stream.complete_until, models.Stream.last_success_at)
        .join(models.Account, models.Account.id == models.Stream.account_id)
        .where(models.Account.enabled, models.Stream.unavailable.is_(False))
    ).all()
    lost = {row[0] for row in rows if row[3] is not None and row[3] < now - UNREADABLE_AFTER}
    return Completeness([(row[0], row[1], row[2]) for row in rows if row[0] not in lost])
