"""The second stage as a story: changes -> matches -> conditions -> alerts -> deliveries, each batch one commit."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import metrics, wake
from app.config import Settings
from app.database import session_scope
from app.services.alerts import builtin, matching, telling, timed
from app.services.alerts.register import Register
from app.services.rules import counts, engine, health, places, seeding
from app.services.rules.groups import key_of
from app.services.rules.patterns import Failures
from app.services.rules.types import LogVersion, Rule, SpikeParams
from app.utils import stopping
from app.utils.clock import utc_now
from app.utils.crashpoints import crashpoint
from app.utils.patience import add_up

_pace = engine.Pace()
"""Of this process: how many changes it evaluates in the time that an edit of a rule may wait."""


def evaluate_changes(settings: Settings, longest_run_seconds: float) -> int:
    """Evaluate the changes of all streams until none wait, or the time is up; return how many were evaluated.

    A stream that fails keeps no other from being evaluated.
    """
    ends_at = time.monotonic() + longest_run_seconds
    with session_scope() as session:
        waiting = engine.waiting(session)
    return add_up(partial(_evaluate_stream, stream_id, settings, ends_at) for stream_id in waiting)


def _evaluate_stream(stream_id: int, settings: Settings, ends_at: float) -> int:
    evaluated = 0
    while time.monotonic() < ends_at and not stopping.requested():
        limit = _pace.limit
        count = evaluate_batch(stream_id, settings, utc_now(), limit)
        evaluated += count
        if count < limit:
            break
    return evaluated


def evaluate_batch(stream_id: int, settings: Settings, now: datetime, limit: int | None = None) -> int:
    """Evaluate the next changes of one stream, at most `limit` or `BATCH`, in one transaction; return how many.

    A batch that fails leaves everything as it was; the next tick begins it again.
    """
    with _evaluation(now) as (session, rule_set):
        began = time.monotonic()
        turn = engine.take_turn(session, stream_id, limit or engine.BATCH)
        if turn is None:
            return 0
        changes = engine.read_changes(session, turn)
        register = _take_in(session, rule_set, changes, settings, now) if changes else None
        engine.finish_turn(session, turn, changes)
        owed = register.save_notices() if register else 0
        crashpoint("evaluate.before_commit")
    crashpoint("evaluate.after_commit")
    _pace.note(len(changes), time.monotonic() - began)
    if owed:
        wake.deliver()
    return len(changes)


def evaluate_time(settings: Settings, now: datetime, longest_run_seconds: float) -> None:
    """Evaluate what depends on time: what went quiet or was held back, conditions over time, what is due to be told.

    Each is a transaction of its own; one that fails keeps no other from being done.

    Args:    longest_run_seconds: after so long no further missed minute is made up for; the next run goes on there.
    """
    ends_at = time.monotonic() + longest_run_seconds
    if add_up(
        (
            partial(_go_on, settings, now),
            partial(_judge_minutes, settings, now, ends_at),
            partial(_watch, settings, now),
            partial(_tell_due, settings, now),
        )
    ):
        wake.deliver()


def _go_on(settings: Settings, now: datetime) -> int:
    """End what went quiet, and go on with what was held back; return how many deliveries are owed, as the next ones."""
    with _evaluation(now) as (session, rule_set):
        engine.follow_idle_streams(session)
        completeness = engine.completeness(session, now)
        register, errors = matching.track_time(session, rule_set.rules, completeness, settings, now)
        health.note_evaluation(session, now)
        health.note_errors(session, errors, now, failing=errors)
        return register.save_notices()


def _judge_minutes(settings: Settings, now: datetime, ends_at: float) -> int:
    """Judge conditions over time, each minute one commit."""
    owed = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with _evaluation(now) as (session, rule_set):
            due = timed.next_minute(session, rule_set.rules, engine.completeness(session, now), now)
            if due is None:
                break
            register, errors = timed.judge_minute(session, rule_set, due, settings, now)
            health.note_errors(session, errors, now, failing=errors)
            owed += register.save_notices()
            crashpoint("evaluate.minute_before_commit")
        crashpoint("evaluate.minute_after_commit")
    return owed


def _watch(settings: Settings, now: datetime) -> int:
    """Look after GiftPulse itself."""
    with session_scope() as session:
        return builtin.watch(session, settings, now)


def _tell_due(settings: Settings, now: datetime) -> int:
    """Tell what time alone has made due."""
    with _evaluation(now) as (session, rule_set):
        return telling.tell_due(session, rule_set.rules, settings, now)


@contextmanager
def _evaluation(now: datetime) -> Iterator[tuple[Session, engine.RuleSet]]:
    """Open a transaction that sees one rule set, all of whose rules have learnt what they must."""
    while True:
        with session_scope() as session:
            rule_set = engine.hold_rule_set(session)
            if not rule_set.unseeded:
                yield session, rule_set
                return
        with session_scope() as session:
            seeding.seed(session, now)


class _Found(NamedTuple):
    """What the index says of a batch."""

    hits: list[tuple[Rule, LogVersion]]
    """Matches for the first time."""
    deltas: counts.Deltas
    failures: Failures


def _take_in(
    session: Session, rule_set: engine.RuleSet, changes: Sequence[LogVersion], settings: Settings, now: datetime
) -> Register:
    """Take the changes through patterns, counts and conditions; return the register, whose notices are to be saved."""
    began = time.monotonic()
    found = _match(session, rule_set, changes)
    placed = places.assign(session, rule_set.rules, _seen(found))
    hits = [matching.Hit(rule, log, placed[rule.id, key_of(rule, log)]) for rule, log in found.hits]
    completeness = engine.completeness(session, now)
    register, errors = matching.track(session, hits, completeness, settings, now)
    counts.save(session, rule_set.rules, counts.moved(found.deltas, placed))
    health.note_matches(session, _shares(found.hits, 1000 * (time.monotonic() - began)), now)
    failing = errors.keys() | rule_set.index.broken.keys()
    logs = {rule_id: len(ids) for rule_id, ids in found.failures.logs.items()}
    health.note_errors(session, found.failures.reasons | errors, now, failing, logs)
    _count(session, found.hits)
    if not settings.store_message_bodies:
        _erase_bodies(session, changes)
    return register


def _seen(found: _Found) -> dict[tuple[UUID, str], set[datetime]]:
    """Say when each group was seen, by the time that its rule goes by."""
    times: dict[tuple[UUID, str], set[datetime]] = defaultdict(set)
    for rule_id, key, minute in found.deltas:
        times[rule_id, key].add(minute)
    for rule, log in found.hits:
        times[rule.id, key_of(rule, log)].add(log.occurred_at if counts.is_counted(rule) else log.changed_at)
    return times


def _match(session: Session, rule_set: engine.RuleSet, changes: Sequence[LogVersion]) -> _Found:
    """Find the rules that each change matches for the first time, and what it changes in the counts of conditions."""
    starts = engine.account_starts(session)
    matching_rules = rule_set.index.match_batch(changes)
    pairs = [
        (rule, change)
        for change, rules in zip(changes, matching_rules, strict=True)
        for rule in rules
        if change.changed_at >= engine.counts_from(rule, starts[change.account_id])
    ]
    hits = engine.unmatched(session, pairs)
    deltas: counts.Deltas = defaultdict(counts.Amounts)
    if rule_set.counted:
        _add_counts(session, rule_set, changes, matching_rules, starts, deltas)
    for rule, log in hits:
        if isinstance(rule.params, SpikeParams):
            deltas[rule.id, key_of(rule, log), counts.minute_of(log.changed_at)].matched += 1
    return _Found(hits, deltas, rule_set.index.take_failures())


def _add_counts(
    session: Session,
    rule_set: engine.RuleSet,
    changes: Sequence[LogVersion],
    matching_rules: Sequence[tuple[Rule, ...]],
    starts: dict[int, datetime],
    deltas: counts.Deltas,
) -> None:
    """Add what the changes come to, and take away what the versions before them came to."""
    before = engine.versions_before(session, changes)
    former = [version for version in before if version is not None]
    for versions, matched, sign in (
        (changes, matching_rules, 1),
        (former, rule_set.index.match_batch(former), -1),
    ):
        populations = rule_set.index.populations(versions) if rule_set.has_ratio else [()] * len(versions)
        for version, rules, population in zip(versions, matched, populations, strict=True):
            matches = {rule.id: rule for rule in rules if rule.id in rule_set.counted}
            for rule in (matches | {rule.id: rule for rule in population}).values():
                if version.occurred_at >= engine.counts_from(rule, starts[version.account_id]):
                    counts.add(deltas, rule, version, rule.id in matches, sign)


def _shares(hits: Sequence[tuple[Rule, LogVersion]], cost_ms: float) -> dict[UUID, float]:
    """Share the cost of a batch among the rules by their matches."""
    numbers = Counter(rule.id for rule, _ in hits)
    return {rule_id: cost_ms * number / len(hits) for rule_id, number in numbers.items()}


def _count(session: Session, hits: Sequence[tuple[Rule, LogVersion]]) -> None:
    increments: dict[metrics.Key, float] = defaultdict(float)
    for rule, _ in hits:
        increments[metrics.RULE_MATCHES.key(rule_id=str(rule.id))] += 1
    metrics.count(session, increments)


def _erase_bodies(session: Session, changes: Sequence[LogVersion]) -> None:
    """Erase the bodies of messages that have now been evaluated."""
    messages = [change for change in changes if change.log_type == "message" and change.text is not None]
    if messages:
        session.execute(
            text(
                "UPDATE logs SET text_ = NULL FROM unnest(CAST(:times AS timestamptz[]), CAST(:ids AS bigint[]))"
                " AS done (occurred_at, id) WHERE logs.occurred_at = done.occurred_at AND logs.id = done.id"
            ),
            {"times": [change.occurred_at for change in messages], "ids": [change.log_id for change in messages]},
        )
