"""Moves alerts: loads what is open, lets the condition judge, saves the episodes and makes what is owed for them.

Everything here happens in the caller's transaction: an alert's change, its matches and its deliveries are one commit.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.orm import Session

from app import metrics, models, wake
from app.config import Settings, get_settings
from app.database import copy_rows, update_rows
from app.enums import AlertStatus, NotificationType, ResolveReason
from app.errors import Conflict, NotFound
from app.models import Alert
from app.services.alerts.fingerprint import fingerprint, group_key, group_of
from app.services.alerts.lifecycle import Standing, decide
from app.services.alerts.summary import summarize
from app.services.outbox.enqueue import Notice, enqueue, notice
from app.services.rules.conditions import each
from app.services.rules.types import LogVersion, Rule

SAMPLES = 5

ALERT_COLUMNS = {
    "status": "text",
    "summary": "text",
    "started_at": "timestamptz",
    "last_match_at": "timestamptz",
    "resolved_at": "timestamptz",
    "resolve_reason": "text",
    "occurrences": "int",
    "sample_sids": "text[]",
    "error_code": "int",
    "firing_notified_at": "timestamptz",
    "notified_at": "timestamptz",
    "notified_occurrences": "int",
    "notify_at": "timestamptz",
}
NEW_ALERT_COLUMNS = (
    "id",
    "fingerprint",
    "rule_id",
    "rule_name",
    "severity",
    "group",
    "group_key",
    "recorded_at",
    "late",
)
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
)

Horizon = Callable[[Rule], datetime | None]


@dataclass
class _Group:
    """One rule and group that something may happen to."""

    rule: Rule
    key: str
    values: Mapping[str, object]
    fresh: dict[int, LogVersion] = field(default_factory=dict)
    """Logs that match for the first time, by id: their matches are to be inserted."""
    held: dict[int, models.Match] = field(default_factory=dict)
    """Stored matches that wait for the streams to be complete, by log id."""
    open: Alert | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.rule.id, self.key)

    def points(self) -> list[each.MatchPoint]:
        """The matches that count towards no alert yet, in the order of Twilio's time."""
        fresh = [each.MatchPoint(log.changed_at, log.sid, log.log_id, log.error_code) for log in self.fresh.values()]
        held = [each.MatchPoint(row.changed_at, row.sid, row.log_id, row.error_code) for row in self.held.values()]
        return sorted([*fresh, *held])


@dataclass
class _Work:
    """What one transaction has to write."""

    new_alerts: list[Alert] = field(default_factory=list)
    moved_alerts: dict[UUID, Alert] = field(default_factory=dict)
    assigned: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    """(rule, log) to the alert it counts towards; what is in no alert is held."""
    notices: list[Notice] = field(default_factory=list)


def track(
    session: Session,
    rules: Mapping[UUID, Rule],
    hits: Sequence[tuple[Rule, LogVersion]],
    horizon: Horizon,
    settings: Settings,
    now: datetime,
) -> int:
    """Take in new matches, and end what went quiet; the rules concerned are locked against other evaluators.

    Args:
        rules: the enabled rules.
        hits: pairs of rule and log that never matched before.
        horizon: up to when all that a rule looks at has been listed.
    Returns: how many deliveries were made.
    """
    groups = _groups(hits)
    if not hits:
        _find_waiting(session, rules, groups, now)
    if not groups:
        return 0
    _lock_rules(session, groups, now, matched=bool(hits))
    _load(session, groups)
    work = _Work()
    previous = _previous_firings(session, list(groups.values()))
    for group in groups.values():
        _judge(group, horizon(group.rule), previous.get(group.fingerprint), work, settings, now)
    _save(session, groups, work)
    return enqueue(session, work.notices, settings, now)


def _groups(hits: Iterable[tuple[Rule, LogVersion]]) -> dict[tuple[UUID, str], _Group]:
    groups: dict[tuple[UUID, str], _Group] = {}
    for rule, log in hits:
        values = group_of(rule, log)
        key = group_key(values)
        group = groups.get((rule.id, key))
        if group is None:
            group = groups[rule.id, key] = _Group(rule, key, values)
        group.fresh[log.log_id] = log
    return groups


def _find_waiting(
    session: Session, rules: Mapping[UUID, Rule], groups: dict[tuple[UUID, str], _Group], now: datetime
) -> None:
    """Add the groups that time may move: open alerts that may have gone quiet, and matches held back."""
    rows = session.execute(
        text(
            'SELECT alerts.rule_id, alerts.group_key, alerts."group" FROM alerts JOIN rules ON rules.id = alerts.rule_id'
            " WHERE alerts.status <> 'resolved'"
            " AND alerts.last_match_at + rules.resolve_after_minutes * interval '1 minute' <= :now"
        ),
        {"now": now},
    ).all()
    held = session.execute(text("SELECT DISTINCT rule_id, group_key, CAST(group_key AS jsonb) FROM matches WHERE held")).all()
    for rule_id, key, values in [*rows, *held]:
        if rule_id in rules:
            groups.setdefault((rule_id, key), _Group(rules[rule_id], key, values))


def _lock_rules(session: Session, groups: Mapping[tuple[UUID, str], _Group], now: datetime, *, matched: bool) -> None:
    """Become the one evaluator of these rules, in an order that no two can wait for each other in a circle."""
    ids = sorted({rule_id for rule_id, _ in groups})
    session.execute(text("SELECT id FROM rules WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": ids})
    columns = "last_evaluated_at = :now" + (", last_matched_at = :now" if matched else "")
    session.execute(text(f"UPDATE rules SET {columns} WHERE id = ANY(:ids)"), {"ids": ids, "now": now})


def _load(session: Session, groups: Mapping[tuple[UUID, str], _Group]) -> None:
    """Load the open alert and the held matches of each group."""
    by_fingerprint = {group.fingerprint: group for group in groups.values()}
    alerts = select(Alert).where(Alert.fingerprint == text("ANY(:keys)"), Alert.status != AlertStatus.RESOLVED)
    alerts = alerts.params(keys=list(by_fingerprint)).with_for_update().execution_options(populate_existing=True)
    for alert in session.scalars(alerts).all():
        by_fingerprint[alert.fingerprint].open = alert
    held = select(models.Match).where(models.Match.held, models.Match.rule_id == text("ANY(:ids)"))
    for match in session.scalars(held.params(ids=sorted({rule_id for rule_id, _ in groups}))).all():
        group = groups.get((match.rule_id, match.group_key))
        if group is not None and match.epoch == group.rule.epoch:
            group.held[match.log_id] = match
    session.expunge_all()


def _previous_firings(session: Session, groups: Sequence[_Group]) -> dict[str, datetime]:
    """Find when each group was last told as firing by an alert that is over."""
    rows = session.execute(
        select(Alert.fingerprint, func.max(Alert.firing_notified_at))
        .where(Alert.fingerprint == text("ANY(:keys)"), Alert.status == AlertStatus.RESOLVED)
        .group_by(Alert.fingerprint)
        .params(keys=[group.fingerprint for group in groups])
    )
    return {row[0]: row[1] for row in rows if row[1] is not None}


def _judge(
    group: _Group, horizon: datetime | None, previous_firing_at: datetime | None, work: _Work, settings: Settings, now: datetime
) -> None:
    """Let the condition say which episodes there are now, and turn them into alerts."""
    opened = None if group.open is None else each.Episode(group.open.started_at, group.open.last_match_at)
    quiet = timedelta(minutes=group.rule.resolve_after_minutes)
    for step in each.judge(quiet, opened, group.points(), horizon).steps:
        if step.continues and group.open is not None:
            alert = group.open
            work.moved_alerts[alert.id] = alert
        else:
            alert = _new_alert(group, step.episode, settings, now)
            work.new_alerts.append(alert)
        _extend(alert, group.rule, step)
        for point in step.matches:
            work.assigned[group.rule.id, point.log_id] = alert.id
        previous_firing_at = _tell(alert, group.rule, previous_firing_at, work, settings, now) or previous_firing_at
        if step.resolved_at is not None:
            close(alert, ResolveReason.QUIET, step.resolved_at)
            _tell(alert, group.rule, previous_firing_at, work, settings, now)


def _new_alert(group: _Group, episode: each.Episode, settings: Settings, now: datetime) -> Alert:
    return Alert(
        id=uuid4(),
        fingerprint=group.fingerprint,
        rule_id=group.rule.id,
        rule_name=group.rule.name,
        severity=group.rule.severity,
        status=AlertStatus.FIRING,
        group=dict(group.values),
        group_key=group.key,
        recorded_at=now,
        late=episode.started_at < now - timedelta(hours=settings.notify_max_age_hours),
        occurrences=0,
        sample_sids=[],
        notified_occurrences=0,
        silenced=False,
    )


def _extend(alert: Alert, rule: Rule, step: each.Step) -> None:
    """Bring an alert up to an episode: its span, its matches, and what it says."""
    newest_first = sorted(step.matches, reverse=True)
    later = alert.last_match_at is None or step.episode.last_match_at > alert.last_match_at
    alert.started_at, alert.last_match_at = step.episode.started_at, step.episode.last_match_at
    alert.occurrences += len(step.matches)
    sids = [point.sid for point in newest_first[:SAMPLES]]
    alert.sample_sids = (sids + alert.sample_sids if later else alert.sample_sids + sids)[:SAMPLES]
    codes = [point.error_code for point in newest_first if point.error_code is not None]
    if codes and (later or alert.error_code is None):
        alert.error_code = codes[0]
    alert.summary = summarize(rule, alert.group, alert.occurrences, alert.error_code)


def close(alert: Alert, reason: ResolveReason, at: datetime) -> None:
    """End an alert."""
    alert.status, alert.resolve_reason, alert.resolved_at, alert.notify_at = AlertStatus.RESOLVED, reason, at, None


def _tell(
    alert: Alert, rule: Rule, previous_firing_at: datetime | None, work: _Work, settings: Settings, now: datetime
) -> datetime | None:
    """Make the notice that is owed now, if one is, and note it; return when its firing was told."""
    decision = decide(
        Standing(
            status=AlertStatus(alert.status),
            occurrences=alert.occurrences,
            last_match_at=alert.last_match_at,
            late=alert.late,
            silenced=alert.silenced,
            firing_notified_at=alert.firing_notified_at,
            notified_at=alert.notified_at,
            notified_occurrences=alert.notified_occurrences,
            previous_firing_at=previous_firing_at,
            renotify=None if rule.renotify_minutes is None else timedelta(minutes=rule.renotify_minutes),
            cooldown=timedelta(minutes=rule.cooldown_minutes),
            max_age=timedelta(hours=settings.notify_max_age_hours),
        ),
        now,
    )
    alert.notify_at = decision.look_again_at
    if decision.tell is None:
        return alert.firing_notified_at
    if decision.tell == NotificationType.FIRING:
        alert.firing_notified_at = now
    if decision.tell != NotificationType.RESOLVED:
        alert.notified_at, alert.notified_occurrences = now, alert.occurrences
    work.notices.append(notice(decision.tell, alert))
    return alert.firing_notified_at


def _save(session: Session, groups: Mapping[tuple[UUID, str], _Group], work: _Work) -> None:
    """Write the alerts and the matches."""
    if work.new_alerts:
        names = (*NEW_ALERT_COLUMNS, *ALERT_COLUMNS)
        session.execute(insert(Alert), [{name: getattr(alert, name) for name in names} for alert in work.new_alerts])
    _update_alerts(session, work.moved_alerts.values())
    copy_rows(session, "matches", MATCH_COLUMNS, _match_rows(groups, work))
    placed = [
        (rule_id, log_id, work.assigned[rule_id, log_id], False)
        for (rule_id, _), group in groups.items()
        for log_id in group.held
        if (rule_id, log_id) in work.assigned
    ]
    keys = {"rule_id": "uuid", "log_id": "bigint"}
    update_rows(session, "matches", keys, {"alert_id": "uuid", "held": "bool"}, placed)
    _count(session, work)


def _update_alerts(session: Session, alerts: Iterable[Alert]) -> None:
    rows = [(alert.id, *(getattr(alert, name) for name in ALERT_COLUMNS)) for alert in alerts]
    update_rows(session, "alerts", {"id": "uuid"}, ALERT_COLUMNS, rows)


def _match_rows(groups: Mapping[tuple[UUID, str], _Group], work: _Work) -> Iterable[tuple[object, ...]]:
    for (rule_id, key), group in groups.items():
        for log in group.fresh.values():
            alert_id = work.assigned.get((rule_id, log.log_id))
            yield (
                rule_id,
                log.log_id,
                group.rule.epoch,
                log.occurred_at,
                log.changed_at,
                log.sid,
                log.account_id,
                log.error_code,
                key,
                alert_id,
                alert_id is None,
            )


def _count(session: Session, work: _Work) -> None:
    increments: dict[metrics.Key, float] = defaultdict(float)
    for alert in work.new_alerts:
        increments[metrics.ALERTS.key(severity=alert.severity, event="fired")] += 1
    for alert in (*work.new_alerts, *work.moved_alerts.values()):
        if alert.status == AlertStatus.RESOLVED:
            increments[metrics.ALERTS.key(severity=alert.severity, event="resolved")] += 1
    metrics.count(session, increments)


def tell_due(session: Session, rules: Mapping[UUID, Rule], settings: Settings, now: datetime) -> int:
    """Make the notifications that time alone has made due: after a cooldown, or an update; return how many deliveries."""
    due = select(Alert).where(Alert.notify_at <= now, Alert.status != AlertStatus.RESOLVED)
    alerts = session.scalars(due.order_by(Alert.id).with_for_update(skip_locked=True)).all()
    session.expunge_all()
    work = _Work()
    for alert in alerts:
        if alert.rule_id in rules:
            # The time of the cooldown is up: that is why the alert is looked at.
            _tell(alert, rules[alert.rule_id], None, work, settings, now)
    _update_alerts(session, alerts)
    return enqueue(session, work.notices, settings, now)


def close_all(session: Session, rule_id: UUID, reason: ResolveReason, settings: Settings, now: datetime) -> None:
    """End the open alerts of a rule that is edited, disabled or deleted, and forget what it held back."""
    query = select(Alert).where(Alert.rule_id == rule_id, Alert.status != AlertStatus.RESOLVED).order_by(Alert.id)
    _end(session, session.scalars(query.with_for_update()).all(), reason, settings, now)
    session.execute(delete(models.Match).where(models.Match.rule_id == rule_id, models.Match.held))


def _end(session: Session, alerts: Sequence[Alert], reason: ResolveReason, settings: Settings, now: datetime) -> None:
    """End alerts now, and tell those who were told of them."""
    for alert in alerts:
        close(alert, reason, now)
    session.flush()
    counts: dict[metrics.Key, float] = defaultdict(float)
    for alert in alerts:
        counts[metrics.ALERTS.key(severity=alert.severity, event="resolved")] += 1
    metrics.count(session, counts)
    told = [notice(NotificationType.RESOLVED, alert) for alert in alerts if alert.firing_notified_at is not None]
    if enqueue(session, told, settings, now):
        wake.deliver()


def acknowledge(session: Session, alert_id: UUID, by: str | None, note: str | None, now: datetime) -> Alert:
    """Note that somebody has taken an alert: it is told no more until it resolves.

    Raises: NotFound; Conflict where it is resolved.
    """
    alert = _open_alert(session, alert_id)
    alert.status, alert.acknowledged_at, alert.acknowledged_by = AlertStatus.ACKNOWLEDGED, now, by
    alert.note = note or alert.note
    session.flush()
    return alert


def resolve(session: Session, alert_id: UUID, by: str | None, note: str | None, now: datetime) -> Alert:
    """End an alert by hand; the next match opens a new one.

    Raises: NotFound; Conflict where it is resolved.
    """
    alert = _open_alert(session, alert_id)
    alert.acknowledged_by = by or alert.acknowledged_by
    alert.note = note or alert.note
    _end(session, [alert], ResolveReason.MANUAL, get_settings(), now)
    return alert


def _open_alert(session: Session, alert_id: UUID) -> Alert:
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    if alert.status == AlertStatus.RESOLVED:
        raise Conflict(f"alert {alert_id} is resolved already")
    return alert
