"""Takes in matches of `each`, `threshold` and `new_value`, finds their episodes, and moves the alerts they call for.

Everything here happens in the caller's transaction: matches, alerts and deliveries are one commit. The rules concerned
are locked, so that a rule has one evaluator at a time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import copy_rows, update_rows
from app.enums import ResolveReason
from app.models import Alert
from app.services.alerts import gathering
from app.services.alerts.gathering import Group, Groups
from app.services.alerts.register import SAMPLES, Habits, Register
from app.services.alerts.summary import summarize
from app.services.rules.engine import Completeness
from app.services.rules.episodes import Episode, settle
from app.services.rules.types import EachParams, LogVersion, NewValueParams, Rule, ThresholdParams

MATCH_COLUMNS = (
    "rule_id",
    "log_id",
    "epoch",
    "occurred_at",
    "changed_at",
    "sid",
    "account_id",
    "error_code",
    "group_key",
    "alert_id",
    "held",
    "new_value",
)

log = structlog.get_logger()


class Hit(NamedTuple):
    """A log that matches a rule for the first time."""

    rule: Rule
    log: LogVersion
    group_key: str


@dataclass
class _Outcome:
    """What became of matches, by rule and log."""

    counted: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    held: set[tuple[UUID, int]] = field(default_factory=set)
    errors: dict[UUID, str] = field(default_factory=dict)


def track(
    session: Session, hits: Sequence[Hit], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[Register, dict[UUID, str]]:
    """Take in new matches of whatever rules.

    Returns: the register, whose notices are to be saved, and the rules that failed, with why.
    """
    groups: Groups = {}
    timed: list[Hit] = []
    for hit in hits:
        if not isinstance(hit.rule.params, (EachParams, ThresholdParams, NewValueParams)):
            timed.append(hit)
            continue
        group = groups.get((hit.rule.id, hit.group_key))
        if group is None:
            group = groups[hit.rule.id, hit.group_key] = Group(hit.rule, hit.group_key)
        group.fresh[hit.log.log_id] = hit.log
    copy_rows(session, "matches", MATCH_COLUMNS, (_row(hit.rule, hit.log, hit.group_key) for hit in timed))
    return _move(session, groups, completeness, settings, now)


def track_time(
    session: Session, rules: Mapping[UUID, Rule], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[Register, dict[UUID, str]]:
    """End what went quiet, and go on with what was held back for the streams to be complete; as `track`."""
    groups: Groups = {}
    quiet = session.execute(
        text(
            "SELECT alerts.rule_id, alerts.group_key, alerts.last_match_at FROM alerts"
            " JOIN rules ON rules.id = alerts.rule_id"
            " WHERE alerts.status <> 'resolved' AND rules.condition ->> 'type' IN ('each', 'threshold', 'new_value')"
            " AND alerts.last_match_at + rules.resolve_after_minutes * interval '1 minute' <= :now"
        ),
        {"now": now},
    )
    for rule_id, key, last_match_at in quiet:
        rule = rules.get(rule_id)
        horizon = completeness.horizon(rule) if rule else None
        if rule and horizon and last_match_at + rule.quiet <= horizon:
            groups[rule_id, key] = Group(rule, key)
    for rule_id, key in session.execute(text("SELECT DISTINCT rule_id, group_key FROM matches WHERE held")):
        if rule_id in rules:
            groups.setdefault((rule_id, key), Group(rules[rule_id], key))
    return _move(session, groups, completeness, settings, now)


def _move(
    session: Session, groups: Groups, completeness: Completeness, settings: Settings, now: datetime
) -> tuple[Register, dict[UUID, str]]:
    register = Register(session, settings, now)
    if not groups:
        return register, {}
    _lock_rules(session, groups)
    gathering.load(session, groups, completeness)
    register.load_previous_firings(group.fingerprint for group in groups.values())
    outcome = _Outcome()
    for group in groups.values():
        try:
            _judge(group, completeness, register, outcome)
        except Exception as error:  # a rule that fails must not stop the others
            log.exception("a rule failed", rule_id=str(group.rule.id))
            outcome.errors[group.rule.id] = f"judging its matches failed: {type(error).__name__}"
            outcome.held |= {(group.rule.id, log_id) for log_id in (*group.fresh, *group.held)}
    register.save_alerts()
    _save_matches(session, groups, outcome)
    return register, outcome.errors


def _lock_rules(session: Session, groups: Groups) -> None:
    """Become the one evaluator of these rules, in an order that no two can wait for each other in a circle."""
    ids = sorted({rule_id for rule_id, _ in groups})
    session.execute(text("SELECT id FROM rules WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": ids})


def _judge(group: Group, completeness: Completeness, register: Register, outcome: _Outcome) -> None:
    """Find the episodes of a group, and turn them into alerts."""
    rule = group.rule
    steps, held = settle(gathering.episodes_of(group), completeness.horizon(rule))
    for step in steps:
        episode = step.episode
        if episode.continues and group.open is not None:
            alert = group.open
            register.move(alert)
        else:
            alert = register.open(
                fingerprint=group.fingerprint,
                rule_id=rule.id,
                rule_name=rule.name,
                severity=rule.severity,
                group=group.values,
                group_key=group.key,
                started_at=episode.started_at,
                window_from=episode.window_from,
            )
        _extend(alert, rule, episode)
        alert.left_out_accounts = completeness.left_out_of(rule)
        outcome.counted |= {(rule.id, point.log_id): alert.id for point in episode.points}
        # What is over is told as resolved, and not as an update a moment before.
        if alert.firing_notified_at is None or not step.resolved:
            register.tell(alert, Habits.of(rule))
        if step.resolved:
            register.close(alert, ResolveReason.QUIET, episode.ends_at)
            register.tell(alert, Habits.of(rule))
    outcome.held |= {(rule.id, point.log_id) for episode in held for point in episode.points}


def _extend(alert: Alert, rule: Rule, episode: Episode) -> None:
    """Bring an alert up to an episode: its span, its matches, and what it says."""
    newest_first = sorted(episode.points, reverse=True)
    later = not alert.occurrences or episode.last_at > alert.last_match_at
    alert.window_from = min(alert.window_from, episode.window_from)
    alert.started_at, alert.last_match_at = episode.started_at, episode.last_at
    alert.occurrences += len(episode.points) + episode.shared
    alert.value = float(alert.occurrences)
    sids = [point.sid for point in newest_first[:SAMPLES]]
    alert.sample_sids = (sids + alert.sample_sids if later else alert.sample_sids + sids)[:SAMPLES]
    codes = [point.error_code for point in newest_first if point.error_code is not None]
    if codes and (later or alert.error_code is None):
        alert.error_code = codes[0]
    alert.summary = summarize(rule, alert.group, alert.occurrences, alert.error_code)


def _row(
    rule: Rule,
    log_version: LogVersion,
    key: str,
    alert_id: UUID | None = None,
    held: bool = False,
    new_value: str | None = None,
) -> tuple[object, ...]:
    return (
        rule.id,
        log_version.log_id,
        rule.epoch,
        log_version.occurred_at,
        log_version.changed_at,
        log_version.sid,
        log_version.account_id,
        log_version.error_code,
        key,
        alert_id,
        held,
        new_value,
    )


def _save_matches(session: Session, groups: Groups, outcome: _Outcome) -> None:
    """Insert the fresh matches, and bring stored ones up to what became of them."""
    copy_rows(session, "matches", MATCH_COLUMNS, _fresh_rows(groups, outcome))
    changed: dict[tuple[UUID, int], tuple[object, ...]] = defaultdict(tuple)
    for (rule_id, _), group in groups.items():
        for point in (*group.held.values(), *group.stored):
            alert_id = outcome.counted.get((rule_id, point.log_id))
            held = (rule_id, point.log_id) in outcome.held
            moved = held != (point.log_id in group.held) or point.log_id in group.no_longer_new
            if alert_id is not None or moved:
                identity = rule_id, point.log_id, group.rule.epoch
                changed[rule_id, point.log_id] = (*identity, alert_id, held, point.new_value)
    keys = {"rule_id": "uuid", "log_id": "bigint", "epoch": "int"}
    values = {"alert_id": "uuid", "held": "bool", "new_value": "text"}
    update_rows(session, "matches", keys, values, list(changed.values()))


def _fresh_rows(groups: Groups, outcome: _Outcome) -> Iterable[tuple[object, ...]]:
    for (rule_id, key), group in groups.items():
        for log_id, log_version in group.fresh.items():
            alert_id = outcome.counted.get((rule_id, log_id))
            held = (rule_id, log_id) in outcome.held
            yield _row(group.rule, log_version, key, alert_id, held, group.new_values.get(log_id))
