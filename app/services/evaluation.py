"""The second stage as a story: changes -> matches -> conditions -> alerts -> deliveries, each batch one commit."""

import time
from collections import defaultdict
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import metrics, wake
from app.config import Settings
from app.database import session_scope
from app.services.alerts import tracker
from app.services.rules import engine
from app.services.rules.types import LogVersion, Rule
from app.utils.clock import utc_now



def evaluate_changes(settings: Settings, longest_run_seconds: float) -> int:
    """Evaluate the changes of all streams until none wait, or the time is up; return how many were evaluated."""
    began = time.monotonic()
    with session_scope() as session:
        waiting = engine.waiting(session)
    evaluated = 0
    for stream_id in waiting:
        while time.monotonic() - began < longest_run_seconds:
            count = evaluate_batch(stream_id, settings, utc_now())
            evaluated += count
            if count < engine.BATCH:
                break
    return evaluated


def evaluate_batch(stream_id: int, settings: Settings, now: datetime) -> int:
    """Evaluate the next changes of one stream, in one transaction; return how many.

    A batch that fails leaves everything as it was; the next tick begins it again.
    """
    with session_scope() as session:
        rule_set = engine.hold_rule_set(session)
        after = engine.take_turn(session, stream_id)
        if after is None:
            return 0
        changes = engine.read_changes(session, stream_id, after)
        if not changes:
            return 0
        hits = _match(session, rule_set, changes)
        owed = tracker.track(session, rule_set.rules, hits, engine.completeness(session, now).horizon, settings, now)
        _count(session, hits)
        if not settings.store_message_bodies:
            _erase_bodies(session, changes)
        engine.finish_turn(session, stream_id, changes[-1].change_id)
    if owed:
        wake.deliver()
    return len(changes)


def evaluate_time(settings: Settings, now: datetime) -> None:
    """Evaluate what depends on time: alerts that went quiet, matches held back, notifications that fell due."""
    with session_scope() as session:
        rule_set = engine.hold_rule_set(session)
        owed = tracker.track(session, rule_set.rules, [], engine.completeness(session, now).horizon, settings, now)
        owed += tracker.tell_due(session, rule_set.rules, settings, now)
    if owed:
        wake.deliver()


def _match(session: Session, rule_set: engine.RuleSet, changes: list[LogVersion]) -> list[tuple[Rule, LogVersion]]:
    """Find the rules that each change matches for the first time."""
    started = {row.id: row.started_at for row in session.execute(text("SELECT id, started_at FROM accounts"))}
    found = rule_set.index.match_batch(changes, started)
    pairs = [(rule, change) for change, rules in zip(changes, found, strict=True) for rule in rules]
    return engine.unmatched(session, pairs)


def _count(session: Session, hits: list[tuple[Rule, LogVersion]]) -> None:
    increments: dict[metrics.Key, float] = defaultdict(float)
    for rule, _ in hits:
        increments[metrics.RULE_MATCHES.key(rule_id=str(rule.id))] += 1
    metrics.count(session, increments)


def _erase_bodies(session: Session, changes: list[LogVersion]) -> None:
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
