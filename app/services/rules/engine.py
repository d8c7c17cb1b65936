"""Runs the enabled rules over changes: reads the rule set, compiles it once, and finds what matches.

Evaluations hold the rule set's lock shared while they work, and edits of rules hold it exclusively: an evaluation
sees one rule set throughout, and a new rule sees every change that is evaluated after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import models
from app.config import get_settings
from app.database import fetch_rows
from app.enums import PatternType
from app.services.rules.minute_counts import counts_versions
from app.services.rules.patterns import RuleIndex
from app.services.rules.types import LogVersion, RatioParams, Rule, StuckParams
from app.utils.clock import cut_to_second

RULE_SET_LOCK = 4_715_620_734
"""Any number that nothing else in the database uses as an advisory lock. Unlike the lock of a row it is a fair queue:
evaluations that come after an edit wait behind it."""
BATCH_SIZE = 5_000
"""The most changes evaluated in one transaction."""
FIRST_BATCH, SMALLEST_BATCH = 500, 100
BATCH_SECONDS = 0.3
"""Edits of rules wait for the batches under way: none may take much longer than this, however slow the machine."""
BEHIND_AFTER = timedelta(minutes=10)
"""Changes that wait for so long wait for a worker, or for one that does not fail."""
UNREADABLE_AFTER = timedelta(hours=1)
"""An account that cannot be read for so long holds back no resolve any more."""


@dataclass(frozen=True)
class RuleSet:
    """All enabled rules as they stand in one version."""

    rules: Mapping[UUID, Rule]
    index: RuleIndex
    stuck_index: RuleIndex
    """Of the `stuck` rules alone: they look at stored logs again and again."""
    counted_rule_ids: frozenset[UUID]
    """The rules that go by counts which follow the versions of logs."""
    has_ratio: bool
    needs_warm_up: bool
    """Some rule has yet to learn from stored logs: nothing may be evaluated before."""


_cached: dict[int, RuleSet] = {}
"""The rule set of the version seen last: compiling a thousand rules costs more than evaluating a page."""


def load_rule_set(session: Session) -> RuleSet:
    """Return the present rule set, and keep it from changing until the end of the transaction."""
    read_rule_set(session)  # a new one is compiled before the lock: nobody waits for that
    session.execute(select(func.pg_advisory_xact_lock_shared(RULE_SET_LOCK)))
    return read_rule_set(session)


def read_rule_set(session: Session) -> RuleSet:
    """Return the present rule set. It may change at any moment."""
    version = session.scalar(select(models.RuleSet.version))
    assert version is not None, "the migrations make this row"
    if version not in _cached:
        query = select(models.Rule).where(models.Rule.enabled).order_by(models.Rule.created_at, models.Rule.id)
        rows = session.scalars(query.execution_options(populate_existing=True)).all()
        _cached.clear()
        _cached[version] = _compile([to_rule(row) for row in rows], needs_warm_up=any(not row.seeded for row in rows))
        session.expunge_all()
    return _cached[version]


def _compile(rules: Sequence[Rule], *, needs_warm_up: bool) -> RuleSet:
    return RuleSet(
        rules={rule.id: rule for rule in rules},
        index=RuleIndex(rules),
        stuck_index=RuleIndex([rule for rule in rules if isinstance(rule.params, StuckParams)]),
        counted_rule_ids=frozenset(rule.id for rule in rules if counts_versions(rule)),
        has_ratio=any(isinstance(rule.params, RatioParams) for rule in rules),
        needs_warm_up=needs_warm_up,
    )


def bump_version(session: Session) -> None:
    """Wait for the evaluations under way, keep others from beginning, and move the version of the rule set."""
    session.execute(select(func.pg_advisory_xact_lock(RULE_SET_LOCK)))
    session.execute(
        text(
            "UPDATE rule_sets"
            " SET version = greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
        )
    )


def to_rule(row: models.Rule) -> Rule:
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


def pending_streams(session: Session) -> list[int]:
    """List the streams that have changes which are not yet evaluated."""
    return list(
        session.scalars(
            text(
                "SELECT stream_id FROM stream_evaluations AS done WHERE EXISTS"
                " (SELECT FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id) ORDER BY stream_id"
            )
        )
    )


def behind_since(session: Session, now: datetime) -> datetime | None:
    """Say since when the oldest change waits to be evaluated, where that is longer than it ever should; else None."""
    since: datetime | None = session.scalar(
        text(
            "SELECT min(oldest.seen_at) FROM stream_evaluations AS done CROSS JOIN LATERAL"
            " (SELECT seen_at FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id"
            "  ORDER BY id LIMIT 1) AS oldest WHERE oldest.seen_at < :oldest"
        ),
        {"oldest": now - BEHIND_AFTER},
    )
    return since


@dataclass(frozen=True)
class BatchLock:
    """The right to evaluate a stream until the end of the transaction."""

    stream_id: int
    change_id: int
    """The last change that is evaluated."""
    complete_until: datetime | None
    """How far the stream was complete when the turn began: changes read from now on include all up to there."""
    limit: int
    """The most changes that are evaluated now."""


class Pace:
    """Sizes batches by the time that the ones before them took."""

    def __init__(self) -> None:
        self.limit = FIRST_BATCH

    def note(self, count: int, seconds: float) -> None:
        """Note how long a batch took. One that was hardly filled says something only where it took too long."""
        if count >= self.limit // 2 or seconds > BATCH_SECONDS:
            fitting = int(count * BATCH_SECONDS / max(seconds, 0.001))
            self.limit = max(SMALLEST_BATCH, min(BATCH_SIZE, fitting, 2 * self.limit))


def lock_batch(session: Session, stream_id: int, limit: int) -> BatchLock | None:
    """Become the one who evaluates a stream; None where somebody else is at it."""
    row = session.execute(
        text(
            "SELECT done.change_id, streams.complete_until FROM stream_evaluations AS done"
            " JOIN streams ON streams.id = done.stream_id WHERE done.stream_id = :stream_id"
            " FOR NO KEY UPDATE OF done SKIP LOCKED"
        ),
        {"stream_id": stream_id},
    ).one_or_none()
    return None if row is None else BatchLock(stream_id, row[0], row[1], limit)


VERSION_COLUMNS = """
    change.id, change.log_id, change.is_first, log.account_id, account.sid, log.sid, log.log_type, change.status,
    log.level, log.direction, change.from_, log.to_, log.to_country, change.error_code, change.error_message,
    log.text_, change.price, log.price_unit, change.duration_seconds, change.segments,
    log.messaging_service_sid, log.resource_sid, log.occurred_at, change.changed_at, change.final
"""
"""What a `LogVersion` is made of, in its order; of `log_changes AS change`, `logs AS log` and `accounts AS account`."""

_READ = f"""
    SELECT {VERSION_COLUMNS}
    FROM (
        SELECT * FROM log_changes WHERE stream_id = %(stream_id)s AND id > %(after)s ORDER BY id LIMIT %(count)s
    ) AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
    ORDER BY change.id
"""

_READ_BEFORE = f"""
    SELECT {VERSION_COLUMNS}
    FROM unnest(%(occurred_at)s::timestamptz[], %(logs)s::bigint[], %(changes)s::bigint[])
        AS asked (occurred_at, log_id, change_id)
    CROSS JOIN LATERAL (
        SELECT * FROM log_changes WHERE log_changes.occurred_at = asked.occurred_at
        AND log_changes.log_id = asked.log_id AND log_changes.id < asked.change_id
        ORDER BY log_changes.id DESC LIMIT 1
    ) AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
"""


def read_changes(session: Session, batch_lock: BatchLock) -> list[LogVersion]:
    """Read the next changes of a stream in the order in which they were stored, at most the turn's `limit`."""
    # The tables grow faster than their statistics: on a guess the planner may read a whole month to find a page.
    session.execute(text("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"))
    return _versions(
        session, _READ, {"stream_id": batch_lock.stream_id, "after": batch_lock.change_id, "count": batch_lock.limit}
    )


def versions_before(session: Session, changes: Sequence[LogVersion]) -> list[LogVersion | None]:
    """Find the version of its log that came before each of these changes, None for a log's first.

    Args:    changes: all that a batch read, in order.
    """
    asked = {}
    for change in changes:
        if not change.is_first and change.log_id not in asked:
            asked[change.log_id] = change
    outside = list(asked.values())
    stored = _versions(
        session,
        _READ_BEFORE,
        {
            "occurred_at": [change.occurred_at for change in outside],
            "logs": [change.log_id for change in outside],
            "changes": [change.change_id for change in outside],
        },
    )
    last: dict[int, LogVersion] = {version.log_id: version for version in stored} if outside else {}
    before: list[LogVersion | None] = []
    for change in changes:
        before.append(None if change.is_first else last.get(change.log_id))
        last[change.log_id] = change
    return before


def _versions(session: Session, query: str, values: Mapping[str, object]) -> list[LogVersion]:
    return list(map(LogVersion._make, fetch_rows(session, query, values)))


def finish_batch(session: Session, batch_lock: BatchLock, changes: Sequence[LogVersion]) -> None:
    """Note how far the stream is evaluated."""
    caught_up = len(changes) < batch_lock.limit
    session.execute(
        text(
            "UPDATE stream_evaluations SET change_id = :change_id,"
            " complete_until = CASE WHEN :caught_up THEN :complete_until ELSE complete_until END"
            " WHERE stream_id = :stream_id"
        ),
        {
            "stream_id": batch_lock.stream_id,
            "change_id": changes[-1].change_id if changes else batch_lock.change_id,
            "caught_up": caught_up,
            "complete_until": batch_lock.complete_until,
        },
    )


def advance_idle_streams(session: Session) -> None:
    """Note for streams that have no change to evaluate that the evaluation has caught up with them."""
    session.execute(
        text(
            "UPDATE stream_evaluations AS done SET complete_until = streams.complete_until FROM streams"
            " WHERE streams.id = done.stream_id AND done.complete_until IS DISTINCT FROM streams.complete_until"
            " AND NOT EXISTS (SELECT FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id)"
            " AND done.stream_id IN (SELECT stream_id FROM stream_evaluations FOR NO KEY UPDATE SKIP LOCKED)"
        )
    )


def drop_known_matches(session: Session, pairs: Sequence[tuple[Rule, LogVersion]]) -> list[tuple[Rule, LogVersion]]:
    """Drop the pairs of rule and log that have matched before, now or in an earlier batch."""
    new_pairs: dict[tuple[UUID, int], tuple[Rule, LogVersion]] = {}
    for rule, log in pairs:
        new_pairs.setdefault((rule.id, log.log_id), (rule, log))
    # The first version of a log may stand in an earlier batch than this one: only then can it have matched.
    in_batch = {log.log_id for _, log in new_pairs.values() if log.is_first}
    asked = [(rule.id, rule.epoch, log.log_id) for rule, log in new_pairs.values() if log.log_id not in in_batch]
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
            del new_pairs[rule_id, log_id]
    return list(new_pairs.values())


def effective_start(rule: Rule, account_started_at: datetime) -> datetime:
    """Return from when changes count for a rule: its start, or that of the account, to the second."""
    return cut_to_second(max(rule.started_at, account_started_at))


def account_starts(session: Session) -> dict[int, datetime]:
    """Read when each account was added: what changed before never alerts."""
    return {row[0]: row[1] for row in session.execute(text("SELECT id, started_at FROM accounts"))}


@dataclass(frozen=True)
class StreamState:
    """How far one stream is known whole, and evaluated."""

    account_sid: str
    log_type: str
    complete_from: datetime | None
    complete_until: datetime | None


@dataclass(frozen=True)
class Completeness:
    """How far each stream that counts is known whole."""

    streams: Sequence[StreamState]
    """Of the enabled, available streams of accounts that can be read."""
    unreadable_accounts: frozenset[str]
    """Accounts that could not be read for an hour: nothing waits for them."""
    retention: timedelta
    """Of what was read so long before a rule's start it can have learnt nothing: those logs are dropped."""

    def _streams_of(self, rule: Rule) -> list[StreamState]:
        wanted = {rule.log_type} if rule.log_type != "any" else {"call", "message", "error"}
        if "call" in wanted and _depends_on_code(rule):
            wanted.add("error")
        accounts = rule.filters.get("account_sid")
        return [
            stream
            for stream in self.streams
            if stream.log_type in wanted and (accounts is None or stream.account_sid in accounts)
        ]

    def unreadable_accounts_of(self, rule: Rule) -> list[str]:
        """List the accounts that this rule looks at and that could not be read for an hour."""
        accounts = rule.filters.get("account_sid")
        return sorted(sid for sid in self.unreadable_accounts if accounts is None or sid in accounts)

    def horizon(self, rule: Rule) -> datetime | None:
        """Return up to when all that this rule looks at has been listed and evaluated; None where that is not known."""
        until = [stream.complete_until for stream in self._streams_of(rule)]
        known = [at for at in until if at is not None]
        return min(known) if known and len(known) == len(until) else None

    def known_from(self, rule: Rule) -> datetime | None:
        """Return from when on all that this rule looks at is known to it whole; None where that is not known."""
        since = [stream.complete_from for stream in self._streams_of(rule)]
        known = [at for at in since if at is not None]
        return max(*known, rule.started_at - self.retention) if known and len(known) == len(since) else None


def _depends_on_code(rule: Rule) -> bool:
    """Say whether what the rule says of a call depends on its code, which comes from the error log."""
    if rule.pattern_type not in (PatternType.ANY, PatternType.STATUS):
        return True
    return "error_code" in (*rule.group_by, rule.condition.get("field"))


def load_completeness(session: Session, now: datetime) -> Completeness:
    """Read how far the streams are known whole; accounts that cannot be read for an hour are left out."""
    rows = session.execute(
        text(
            "SELECT accounts.sid, streams.log_type, streams.complete_from, done.complete_until,"
            " coalesce(streams.last_success_at, accounts.started_at) < :lost"
            " FROM streams JOIN accounts ON accounts.id = streams.account_id"
            " JOIN stream_evaluations AS done ON done.stream_id = streams.id"
            " WHERE accounts.enabled AND NOT streams.unavailable"
        ),
        {"lost": now - UNREADABLE_AFTER},
    ).all()
    unreadable = frozenset(row[0] for row in rows if row[4])
    states = [StreamState(*row[:4]) for row in rows if row[0] not in unreadable]
    return Completeness(states, unreadable, timedelta(days=get_settings().retention_days))
