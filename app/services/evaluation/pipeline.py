"""The evaluation, step by step: log changes -> matches -> counts and conditions -> alerts -> deliveries.

`evaluate_changes` follows the queue of changes, `evaluate_time` the clock. Each batch, and each minute, is one commit.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from app import wake
from app.config import Settings
from app.database import session_scope
from app.services import self_monitoring
from app.services.alerts import reminders
from app.services.alerts.changes import AlertChanges
from app.services.evaluation import (
    change_queue,
    due_minutes,
    group_slots,
    match_evaluator,
    matching,
    minute_counts,
    minute_evaluator,
    rule_health,
    warm_up,
)
from app.services.evaluation.completeness import load_completeness
from app.services.evaluation.rule_set import RuleSet, load_rule_set, lock_rules
from app.services.logs import store
from app.services.rules.groups import group_key_of
from app.services.rules.types import LogVersion
from app.utils import stopping
from app.utils.clock import utc_now
from app.utils.crashpoints import crashpoint
from app.utils.db_retry import run_all

_pace = change_queue.Pace()
"""This process's batch size: edits of rules wait for running batches."""


def evaluate_changes(settings: Settings, longest_run_seconds: float) -> int:
    """Evaluate the changes of all streams until none is left or the time is up; return how many were evaluated.

    A failure in one stream does not stop the others.
    """
    ends_at = time.monotonic() + longest_run_seconds
    with session_scope() as session:
        stream_ids = change_queue.pending_streams(session)
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

    A failed batch changes nothing; the next tick repeats it.
    """
    with _evaluation(now) as (session, rule_set):
        began = time.monotonic()
        batch_lock = change_queue.lock_batch(session, stream_id, limit or change_queue.BATCH_SIZE)
        if batch_lock is None:
            return 0
        changes = change_queue.read_changes(session, batch_lock)
        alert_changes = _process_batch(session, rule_set, changes, settings, now) if changes else None
        change_queue.finish_batch(session, batch_lock, changes)
        deliveries = alert_changes.enqueue_notices() if alert_changes else 0
        crashpoint("evaluate.before_commit")
    crashpoint("evaluate.after_commit")
    _pace.note(len(changes), time.monotonic() - began)
    if deliveries:
        wake.deliver()
    return len(changes)


def _process_batch(
    session: Session, rule_set: RuleSet, changes: Sequence[LogVersion], settings: Settings, now: datetime
) -> AlertChanges:
    """Evaluate changes; return the alert changes, whose notices the caller enqueues."""
    began = time.monotonic()
    # 1. Find the rules that each log matches for the first time, and the changes of counts.
    batch = matching.match_batch(session, rule_set, changes)
    # 2. Wait for the other evaluators of these rules. Give each group one of its rule's slots; groups beyond the last
    # share one.
    lock_rules(session, batch.rule_ids())
    slots = group_slots.assign_slots(session, rule_set.rules, batch.group_times())
    # 3. Save matches; open, extend and resolve the alerts of conditions on matches.
    new_matches = [
        match_evaluator.NewMatch(rule, log, slots[rule.id, group_key_of(rule, log)]) for rule, log in batch.new_matches
    ]
    completeness = load_completeness(session, settings, now)
    alert_changes, errors = match_evaluator.add_matches(session, new_matches, completeness, settings, now)
    # 4. Save the counts for conditions over time, which `evaluate_time` judges minute by minute.
    minute_counts.save(session, rule_set.rules, minute_counts.fold_overflow(batch.deltas, slots))
    # 5. Record what matched, what it cost, and what failed.
    matched_ids = [rule.id for rule, _ in batch.new_matches]
    rule_health.record_matches(session, matched_ids, 1000 * (time.monotonic() - began), now)
    rule_health.record_errors(
        session,
        batch.failures.reasons | errors,
        now,
        failing=errors.keys() | rule_set.index.broken.keys(),
        logs={rule_id: len(ids) for rule_id, ids in batch.failures.logs.items()},
    )
    rule_health.count_matches(session, matched_ids)
    # 6. Delete message bodies if the settings keep them for the evaluation only.
    if not settings.store_message_bodies:
        messages = [log for log in changes if log.log_type == "message" and log.text is not None]
        store.erase_bodies(session, [(log.occurred_at, log.log_id) for log in messages])
    return alert_changes


def evaluate_time(settings: Settings, now: datetime, longest_run_seconds: float) -> None:
    """Evaluate what depends on time. Each step has its own transactions; a failure does not stop the others.

    Args:    longest_run_seconds: after this long the next run continues with the remaining missed minutes.
    """
    ends_at = time.monotonic() + longest_run_seconds
    steps = (
        # 1. Resolve alerts whose quiet period is over; release matches that waited for the streams to be complete.
        partial(_evaluate_idle_groups, settings, now),
        # 2. Judge conditions over time, one minute after another.
        partial(_judge_minutes, settings, now, ends_at),
        # 3. Open and resolve the built-in alerts.
        partial(_monitor_self, settings, now),
        # 4. Send the notifications that are due after a cooldown or silence, and reminders.
        partial(_send_reminders, settings, now),
    )
    if run_all(steps):
        wake.deliver()


def _evaluate_idle_groups(settings: Settings, now: datetime) -> int:
    """Return how many deliveries were enqueued, as the other steps do."""
    with _evaluation(now) as (session, rule_set):
        change_queue.advance_idle_streams(session)
        completeness = load_completeness(session, settings, now)
        alert_changes, errors = match_evaluator.evaluate_idle_groups(
            session, rule_set.rules, completeness, settings, now
        )
        rule_health.record_evaluation(session, now)
        rule_health.record_errors(session, errors, now, failing=errors)
        return alert_changes.enqueue_notices()


def _judge_minutes(settings: Settings, now: datetime, ends_at: float) -> int:
    deliveries = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with _evaluation(now) as (session, rule_set):
            due = due_minutes.next_minute(session, rule_set.rules, load_completeness(session, settings, now), now)
            if due is None:
                break
            alert_changes, errors = minute_evaluator.judge_minute(session, rule_set, due, settings, now)
            rule_health.record_errors(session, errors, now, failing=errors)
            deliveries += alert_changes.enqueue_notices()
            crashpoint("evaluate.minute_before_commit")
        crashpoint("evaluate.minute_after_commit")
    return deliveries


def _monitor_self(settings: Settings, now: datetime) -> int:
    with session_scope() as session:
        return self_monitoring.update_built_in_alerts(session, settings, now)


def _send_reminders(settings: Settings, now: datetime) -> int:
    with _evaluation(now) as (session, rule_set):
        return reminders.send_due(session, rule_set.rules, settings, now)


@contextmanager
def _evaluation(now: datetime) -> Iterator[tuple[Session, RuleSet]]:
    """Open a transaction with one rule set whose rules are all warmed up."""
    while True:
        with session_scope() as session:
            rule_set = load_rule_set(session)
            if not rule_set.needs_warm_up:
                yield session, rule_set
                return
        with session_scope() as session:
            warm_up.warm_up_rules(session, now)
