"""The built-in alerts: GiftPulse cannot read Twilio, is slow to evaluate, a rule fails, and so on.

Recomputed on every run; a problem that is gone resolves.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import AlertStatus, ResolveReason, Severity
from app.models import Action, Alert
from app.services.alerts.alert_rows import end_suppression, load_open_alerts
from app.services.alerts.changes import BUILT_IN_NOTIFY_SETTINGS, AlertChanges
from app.services.alerts.fingerprint import built_in_fingerprint
from app.services.alerts.state_machine import Fire, Resolve
from app.services.ingest import quarantine
from app.services.logs import change_consumers
from app.services.outbox.action_config import action_name
from app.services.outbox.overdue import overdue
from app.services.rules.groups import group_key

CANNOT_READ = "GiftPulse cannot read Twilio"
RECORDS_SET_ASIDE = "Records of Twilio are set aside"
RULE_FAILING = "Rule failing"
EVALUATION_BEHIND = "Evaluation is behind"
DELIVERIES_OVERDUE = "Deliveries are overdue"
ACTION_DISABLED = "Action disabled"

MAX_FAILED_POLLS = 3
"""A stream cannot be read after this many failed polls in a row."""
MAX_MISSED_INTERVALS = 3
"""Or after this many intervals without a successful poll."""
MIN_UNREAD_TIME = timedelta(seconds=60)
DELIVERIES_OVERDUE_AFTER = timedelta(minutes=10)
RULE_FAILING_FOR = timedelta(minutes=15)
"""The alert about a failing rule resolves after this long without a failure."""


STREAM_NAMES = {"call": "calls", "message": "messages", "error": "the error log"}
URL_PATH = re.compile(r"(?: (?:for|to))? /[^\s:]+")


class Problem(NamedTuple):
    """A problem that exists now."""

    name: str
    group: dict[str, Any]
    summary: str
    since: datetime


def max_time_unread(settings: Settings) -> timedelta:
    """Return how long a stream may be without a successful poll, for health and the built-in alert."""
    return max(MIN_UNREAD_TIME, MAX_MISSED_INTERVALS * timedelta(seconds=settings.poll_interval_seconds))


def update_built_in_alerts(session: Session, settings: Settings, now: datetime) -> int:
    """Open and resolve the built-in alerts; return the number of deliveries."""
    problems = _problems(session, settings, now)
    built_in = select(Alert.fingerprint).where(Alert.rule_id.is_(None))
    open_fingerprints = session.scalars(built_in.where(Alert.status != AlertStatus.RESOLVED)).all()
    suppressed = set(session.scalars(built_in.where(Alert.suppressed_until_clear)))
    if not problems and not open_fingerprints and not suppressed:
        return 0
    if cleared := suppressed - problems.keys():
        end_suppression(session, Alert.rule_id.is_(None) & Alert.fingerprint.in_(cleared))
    open_alerts = load_open_alerts(session, open_fingerprints)
    alert_changes = AlertChanges(session, settings, now)
    alert_changes.load_previous_firings(problems)
    for fingerprint, alert in open_alerts.items():
        if fingerprint not in problems:
            alert_changes.apply(alert, Resolve(now, ResolveReason.CLEARED))
            alert_changes.decide_notification(alert, BUILT_IN_NOTIFY_SETTINGS)
    for fingerprint, problem in problems.items():
        if fingerprint not in open_alerts and fingerprint not in suppressed:
            alert = alert_changes.open(_fire(fingerprint, problem, now))
            alert_changes.decide_notification(alert, BUILT_IN_NOTIFY_SETTINGS)
    alert_changes.save_alerts()
    return alert_changes.enqueue_notices()


def _problems(session: Session, settings: Settings, now: datetime) -> dict[str, Problem]:
    """Find all present problems, by the fingerprint of their alert."""
    found = (
        *_unread_accounts(session, settings, now),
        *_malformed_records(session, now),
        *_evaluation_behind(session, now),
        *_failing_rules(session, now),
        *_overdue_deliveries(session, now),
        *_disabled_actions(session, settings),
    )
    return {built_in_fingerprint(problem.name, group_key(problem.group)): problem for problem in found}


def _fire(fingerprint: str, problem: Problem, now: datetime) -> Fire:
    return Fire(
        fingerprint=fingerprint,
        rule_id=None,
        rule_name=problem.name,
        severity=Severity.CRITICAL,
        group=problem.group,
        group_key=group_key(problem.group),
        started_at=problem.since,
        window_from=problem.since,
        recorded_at=now,
        late=False,
        summary=problem.summary,
        occurrences=1,
    )


def _unread_accounts(session: Session, settings: Settings, now: datetime) -> Iterator[Problem]:
    """Find the accounts with a stream that was not read for too long. A successful poll of each stream resolves it."""
    rows = session.execute(
        text(
            "SELECT accounts.sid, coalesce(accounts.friendly_name, accounts.sid),"
            " min(coalesce(streams.last_success_at, accounts.started_at)),"
            " json_agg(json_build_array(streams.log_type, streams.last_error) ORDER BY streams.log_type)"
            " FROM streams JOIN accounts ON accounts.id = streams.account_id"
            " WHERE accounts.enabled AND NOT streams.unavailable AND (streams.failures >= :failures"
            " OR (coalesce(streams.last_success_at, accounts.started_at) < :oldest"
            "     AND coalesce(streams.lease_until < :now, true))"
            # An alert ends with a successful poll: other credentials alone end none.
            " OR ((streams.failures > 0"
            "     OR coalesce(streams.last_success_at < coalesce(accounts.credentials_at, accounts.started_at), true))"
            "     AND EXISTS (SELECT FROM alerts WHERE alerts.rule_id IS NULL"
            "     AND alerts.rule_name = :name AND alerts.status <> 'resolved'"
            "     AND alerts.\"group\" ->> 'account_sid' = accounts.sid)))"
            " GROUP BY accounts.id ORDER BY accounts.sid"
        ),
        {"failures": MAX_FAILED_POLLS, "oldest": now - max_time_unread(settings), "now": now, "name": CANNOT_READ},
    )
    for sid, name, since, streams in rows:
        yield Problem(CANNOT_READ, {"account_sid": sid}, _summarize_unread(name, streams), since)


def _summarize_unread(account: str, streams: Sequence[tuple[str, str | None]]) -> str:
    """Combine equal errors of several streams: `calls and messages of account Acme: Twilio refused (HTTP 401)`."""
    by_error: dict[str, list[str]] = {}
    for log_type, error in streams:
        reason = without_path(error) if error else "no successful poll recently"
        by_error.setdefault(reason, []).append(STREAM_NAMES[log_type])
    return "; ".join(f"{_join_names(names)} of account {account}: {reason}" for reason, names in by_error.items())


def without_path(error: str) -> str:
    """Drop the path, which says no more than the stream and alone tells one stream's error from another's."""
    return URL_PATH.sub("", error)


def _join_names(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _malformed_records(session: Session, now: datetime) -> Iterator[Problem]:
    """Find the accounts with more than a trickle of malformed records."""
    for found in quarantine.count_since(session, now - quarantine.TOLERATED_WITHIN):
        if found.count > quarantine.MAX_TOLERATED:
            counted = f"{found.count} records of account {found.account} cannot be logs: {found.reason}"
            summary = f"{counted}; see GET /api/accounts/{found.account_sid}"
            yield Problem(RECORDS_SET_ASIDE, {"account_sid": found.account_sid}, summary, found.since)


def _evaluation_behind(session: Session, now: datetime) -> Iterator[Problem]:
    """Find out whether changes wait that should long have been evaluated."""
    if since := change_consumers.evaluation_behind_since(session, now):
        yield Problem(EVALUATION_BEHIND, {}, "logs wait to be evaluated: see the log of the workers", since)


def _failing_rules(session: Session, now: datetime) -> Iterator[Problem]:
    """Find the rules that failed recently."""
    rows = session.execute(
        text("SELECT id, name, last_error, failed_at FROM rules WHERE enabled AND failed_at > :lately ORDER BY id"),
        {"lately": now - RULE_FAILING_FOR},
    )
    for rule_id, name, error, failed_at in rows:
        yield Problem(RULE_FAILING, {"rule_id": str(rule_id)}, f"{name}: {error}", failed_at)


def _overdue_deliveries(session: Session, now: datetime) -> Iterator[Problem]:
    """Find out whether deliveries wait that should long have been attempted."""
    count, oldest = overdue(session, now, DELIVERIES_OVERDUE_AFTER)
    if count and oldest is not None:
        waiting = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
        yield Problem(DELIVERIES_OVERDUE, {}, f"{waiting}: see whether a worker runs", oldest)


def _disabled_actions(session: Session, settings: Settings) -> Iterator[Problem]:
    """Find the actions that GiftPulse itself disabled. The others notify of them."""
    query = select(Action).where(~Action.enabled, Action.disabled_reason.is_not(None)).order_by(Action.id)
    for action in session.scalars(query):
        summary = f"{action_name(action, settings)} is disabled: {action.disabled_reason}"
        yield Problem(ACTION_DISABLED, {"action_id": str(action.id)}, summary, action.updated_at)
