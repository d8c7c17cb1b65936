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
from app.services.alerts import match_evaluator, minute_evaluator, reminders, self_monitoring
from app.services.alerts.changes import AlertChanges
from app.services.rules import engine, group_slots, minute_counts, rule_health, warm_up
from app.services.rules.groups import group_key_of
from app.services.rules.patterns import Failures
from app.services.rules.types import LogVersion, Rule, SpikeParams
from app.utils import stopping
from app.utils.clock import utc_now
from app.utils.crashpoints import crashpoint
from app.utils.db_retry import run_all

_pace = engine.Pace()
"""Of this process: how many changes it evaluates in the time that an edit of a rule may wait."""


def evaluate_changes(settings: Settings, longest_run_seconds: float) -> int:
    """Evaluate the changes of all streams until none wait, or the time is up; return how many were evaluated.

    A stream that fails keeps no other from being evaluated.
    """
    ends_at = time.monotonic() + longest_run_seconds
    with session_scope() as session:
        stream_ids = engine.pending_streams(session)
    return run_all(partial(_evaluate_stream, stream_id, settings, ends_at) for stream_id in stream_ids)


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
    """Evaluate the next changes of one stream, at most `limit` or `BATCH_SIZE`, in one transaction; return how many.

    A batch that fails leaves everything as it was; the next tick begins it again.
    """
    with _evaluation(now) as (session, rule_set):
        began = time.monotonic()
        batch_lock = engine.lock_batch(session, stream_id, limit or engine.BATCH_SIZE)
        if batch_lock is None:
            return 0
        changes = engine.read_changes(session, batch_lock)
        alert_changes = _process_batch(session, rule_set, changes, settings, now) if changes else None
        engine.finish_batch(session, batch_lock, changes)
        deliveries = alert_changes.enqueue_notices() if alert_changes else 0
        crashpoint("evaluate.before_commit")
    crashpoint("evaluate.after_commit")
    _pace.note(len(changes), time.monotonic() - began)
    if deliveries:
        wake.deliver()
    return len(changes)


def evaluate_time(settings: Settings, now: datetime, longest_run_seconds: float) -> None:
    """Evaluate what depends on time: what went quiet or was held back, conditions over time, what is due to be told.

    Each is a transaction of its own; one that fails keeps no other from being done.

    Args:    longest_run_seconds: after so long no further missed minute is made up for; the next run goes on there.
    """
    ends_at = time.monotonic() + longest_run_seconds
    if run_all(
        (
            partial(_evaluate_idle_groups, settings, now),
            partial(_judge_minutes, settings, now, ends_at),
            partial(_monitor_self, settings, now),
            partial(_send_reminders, settings, now),
        )
    ):
        wake.deliver()


def _evaluate_idle_groups(settings: Settings, now: datetime) -> int:
    """End what went quiet, and go on with what was held back; return how many deliveries are owed, as the next ones."""
    with _evaluation(now) as (session, rule_set):
        engine.advance_idle_streams(session)
        completeness = engine.load_completeness(session, now)
        alert_changes, errors = match_evaluator.evaluate_idle_groups(
            session, rule_set.rules, completeness, settings, now
        )
        rule_health.record_evaluation(session, now)
        rule_health.record_errors(session, errors, now, failing=errors)
        return alert_changes.enqueue_notices()


def _judge_minutes(settings: Settings, now: datetime, ends_at: float) -> int:
    """Judge conditions over time, each minute one commit."""
    deliveries = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with _evaluation(now) as (session, rule_set):
            due = minute_evaluator.next_minute(session, rule_set.rules, engine.load_completeness(session, now), now)
            if due is None:
                break
            alert_changes, errors = minute_evaluator.judge_minute(session, rule_set, due, settings, now)
            rule_health.record_errors(session, errors, now, failing=errors)
            deliveries += alert_changes.enqueue_notices()
            crashpoint("evaluate.minute_before_commit")
        crashpoint("evaluate.minute_after_commit")
    return deliveries


def _monitor_self(settings: Settings, now: datetime) -> int:
    """Look after GiftPulse itself."""
    with session_scope() as session:
        return self_monitoring.update_built_in_alerts(session, settings, now)


def _send_reminders(settings: Settings, now: datetime) -> int:
    """Tell what time alone has made due."""
    with _evaluation(now) as (session, rule_set):
        return reminders.send_due(session, rule_set.rules, settings, now)


@contextmanager
def _evaluation(now: datetime) -> Iterator[tuple[Session, engine.RuleSet]]:
    """Open a transaction that sees one rule set, all of whose rules have learnt what they must."""
    while True:
        with session_scope() as session:
            rule_set = engine.load_rule_set(session)
            if not rule_set.needs_warm_up:
                yield session, rule_set
                return
        with session_scope() as session:
            warm_up.warm_up_rules(session, now)


class _BatchMatches(NamedTuple):
    """What the index says of a batch."""

    hits: list[tuple[Rule, LogVersion]]
    """Matches for the first time."""
    deltas: minute_counts.Deltas
    failures: Failures


def _process_batch(
    session: Session, rule_set: engine.RuleSet, changes: Sequence[LogVersion], settings: Settings, now: datetime
) -> AlertChanges:
    """Take the changes through patterns, counts and conditions; return the register, whose notices are to be saved."""
    began = time.monotonic()
    batch = _match_batch(session, rule_set, changes)
    slots = group_slots.assign_slots(session, rule_set.rules, _group_times(batch))
    hits = [match_evaluator.Hit(rule, log, slots[rule.id, group_key_of(rule, log)]) for rule, log in batch.hits]
    completeness = engine.load_completeness(session, now)
    alert_changes, errors = match_evaluator.add_matches(session, hits, completeness, settings, now)
    minute_counts.save(session, rule_set.rules, minute_counts.fold_overflow(batch.deltas, slots))
    rule_health.record_matches(session, _cost_shares(batch.hits, 1000 * (time.monotonic() - began)), now)
    failing_ids = errors.keys() | rule_set.index.broken.keys()
    logs = {rule_id: len(ids) for rule_id, ids in batch.failures.logs.items()}
    rule_health.record_errors(session, batch.failures.reasons | errors, now, failing_ids, logs)
    _count(session, batch.hits)
    if not settings.store_message_bodies:
        _erase_bodies(session, changes)
    return alert_changes


def _group_times(batch: _BatchMatches) -> dict[tuple[UUID, str], set[datetime]]:
    """Say when each group was seen, by the time that its rule goes by."""
    times: dict[tuple[UUID, str], set[datetime]] = defaultdict(set)
    for rule_id, key, minute in batch.deltas:
        times[rule_id, key].add(minute)
    for rule, log in batch.hits:
        times[rule.id, group_key_of(rule, log)].add(
            log.occurred_at if minute_counts.counts_versions(rule) else log.changed_at
        )
    return times


def _match_batch(session: Session, rule_set: engine.RuleSet, changes: Sequence[LogVersion]) -> _BatchMatches:
    """Find the rules that each change matches for the first time, and what it changes in the counts of conditions."""
    starts = engine.account_starts(session)
    matching_rules = rule_set.index.match_batch(changes)
    pairs = [
        (rule, change)
        for change, rules in zip(changes, matching_rules, strict=True)
        for rule in rules
        if change.changed_at >= engine.effective_start(rule, starts[change.account_id])
    ]
    hits = engine.drop_known_matches(session, pairs)
    deltas: minute_counts.Deltas = defaultdict(minute_counts.CountDelta)
    if rule_set.counted_rule_ids:
        _add_counts(session, rule_set, changes, matching_rules, starts, deltas)
    for rule, log in hits:
        if isinstance(rule.params, SpikeParams):
            deltas[rule.id, group_key_of(rule, log), minute_counts.minute_end(log.changed_at)].matched += 1
    return _BatchMatches(hits, deltas, rule_set.index.pop_failures())


def _add_counts(
    session: Session,
    rule_set: engine.RuleSet,
    changes: Sequence[LogVersion],
    matching_rules: Sequence[tuple[Rule, ...]],
    starts: dict[int, datetime],
    deltas: minute_counts.Deltas,
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
            matches = {rule.id: rule for rule in rules if rule.id in rule_set.counted_rule_ids}
            for rule in (matches | {rule.id: rule for rule in population}).values():
                if version.occurred_at >= engine.effective_start(rule, starts[version.account_id]):
                    minute_counts.add_version(deltas, rule, version, rule.id in matches, sign)


def _cost_shares(hits: Sequence[tuple[Rule, LogVersion]], cost_ms: float) -> dict[UUID, float]:
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
