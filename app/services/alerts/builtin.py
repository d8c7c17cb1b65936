"""The alerts that no rule opens: GiftPulse cannot read Twilio, is slow to evaluate, a rule fails, and so on.

Each is found anew from how things stand; what is no longer so resolves.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, AlertStatus, ResolveReason, Severity
from app.models import Action, Alert
from app.services.alerts.fingerprint import built_in_fingerprint
from app.services.alerts.register import BUILT_IN_HABITS, Register, load_open
from app.services.ingest import intake
from app.services.outbox.overdue import overdue
from app.services.outbox.rows import config_of
from app.services.rules import engine
from app.services.rules.groups import group_key
from app.utils.crypto import Undecryptable

CANNOT_READ = "GiftPulse cannot read Twilio"
RECORDS_SET_ASIDE = "Records of Twilio are set aside"
RULE_FAILING = "Rule failing"
EVALUATION_BEHIND = "Evaluation is behind"
DELIVERIES_OVERDUE = "Deliveries are overdue"
ACTION_DISABLED = "Action disabled"

FAILED_POLLS = 3
SILENT_INTERVALS = 3
SHORTEST_SILENCE = timedelta(seconds=60)
OVERDUE_AFTER = timedelta(minutes=10)
RULE_FAILS_FOR = timedelta(minutes=15)
"""A rule that failed is said to fail until it has not for so long."""


STREAMS = {"call": "calls", "message": "messages", "error": "the error log"}
PATH = re.compile(r" /\S+")


class Trouble(NamedTuple):
    """Something that is wrong now."""

    name: str
    group: dict[str, Any]
    summary: str
    since: datetime


def watch(session: Session, settings: Settings, now: datetime) -> int:
    """Open and resolve the built-in alerts as things stand; return how many deliveries that made."""
    troubles = {
        built_in_fingerprint(trouble.name, group_key(trouble.group)): trouble
        for trouble in (
            *_unread(session, settings, now),
            *_set_aside(session, now),
            *_behind(session, now),
            *_failing(session, now),
            *_overdue(session, now),
            *_disabled(session, settings),
        )
    }
    known = session.scalars(
        select(Alert.fingerprint).where(Alert.rule_id.is_(None), Alert.status != AlertStatus.RESOLVED)
    ).all()
    ended_by_hand = set(
        session.scalars(select(Alert.fingerprint).where(Alert.rule_id.is_(None), Alert.still_holds)).all()
    )
    if not troubles and not known and not ended_by_hand:
        return 0
    _forget_ended(session, ended_by_hand - troubles.keys())
    open_alerts = load_open(session, known)
    register = Register(session, settings, now)
    register.load_previous_firings(troubles)
    for mark, alert in open_alerts.items():
        if mark not in troubles:
            register.move(alert)
            register.close(alert, ResolveReason.CLEARED, now)
            register.tell(alert, BUILT_IN_HABITS)
    for mark, trouble in troubles.items():
        if mark not in open_alerts and mark not in ended_by_hand:
            _open(register, mark, trouble)
    register.save_alerts()
    return register.save_notices()


def _forget_ended(session: Session, marks: set[str]) -> None:
    """Note for alerts that people ended while things were wrong that they have been right since."""
    if marks:
        session.execute(
            update(Alert).where(Alert.rule_id.is_(None), Alert.fingerprint.in_(marks)).values(still_holds=False)
        )


def _open(register: Register, mark: str, trouble: Trouble) -> None:
    alert = register.open(
        fingerprint=mark,
        rule_id=None,
        rule_name=trouble.name,
        severity=Severity.CRITICAL,
        group=trouble.group,
        group_key=group_key(trouble.group),
        started_at=trouble.since,
        window_from=trouble.since,
    )
    alert.summary, alert.occurrences, alert.late = trouble.summary, 1, False
    register.tell(alert, BUILT_IN_HABITS)


def _unread(session: Session, settings: Settings, now: datetime) -> Iterator[Trouble]:
    """Find the accounts of which some stream has not been read well for too long; resolved by a good poll of each."""
    silence = max(SHORTEST_SILENCE, SILENT_INTERVALS * timedelta(seconds=settings.poll_interval_seconds))
    rows = session.execute(
        text(
            "SELECT accounts.sid, min(coalesce(streams.last_success_at, accounts.started_at)),"
            " json_agg(json_build_array(streams.log_type, streams.last_error) ORDER BY streams.log_type)"
            " FROM streams JOIN accounts ON accounts.id = streams.account_id"
            " WHERE accounts.enabled AND NOT streams.unavailable AND (streams.failures >= :failures"
            " OR (coalesce(streams.last_success_at, accounts.started_at) < :oldest"
            "     AND coalesce(streams.lease_until < :now, true))"
            # An alert ends with a good poll: other credentials alone end none.
            " OR ((streams.failures > 0"
            "     OR coalesce(streams.last_success_at < coalesce(accounts.credentials_at, accounts.started_at), true))"
            "     AND EXISTS (SELECT FROM alerts WHERE alerts.rule_id IS NULL"
            "     AND alerts.rule_name = :name AND alerts.status <> 'resolved'"
            "     AND alerts.\"group\" ->> 'account_sid' = accounts.sid)))"
            " GROUP BY accounts.sid ORDER BY accounts.sid"
        ),
        {"failures": FAILED_POLLS, "oldest": now - silence, "now": now, "name": CANNOT_READ},
    )
    for sid, since, streams in rows:
        yield Trouble(CANNOT_READ, {"account_sid": sid}, _unread_streams(sid, streams), since)


def _unread_streams(sid: str, streams: Sequence[tuple[str, str | None]]) -> str:
    """Say once what several streams failed with: `calls and messages of account AC...: Twilio refused (HTTP 401)`."""
    by_error: dict[str, list[str]] = {}
    for log_type, error in streams:
        # The path says no more than the stream, and it alone tells one stream's error from another's.
        said = PATH.sub("", error) if error else "no good poll of late"
        by_error.setdefault(said, []).append(STREAMS[log_type])
    return "; ".join(f"{_listed(names)} of account {sid}: {said}" for said, names in by_error.items())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _set_aside(session: Session, now: datetime) -> Iterator[Trouble]:
    """Find the accounts of which more than a trickle of records cannot be logs."""
    for found in intake.set_aside(session, now - intake.TRICKLE_WITHIN):
        if found.count > intake.TRICKLE:
            said = f"{found.count} records of account {found.account_sid} cannot be logs: {found.reason}"
            summary = f"{said}; see GET /api/accounts/{found.account_sid}"
            yield Trouble(RECORDS_SET_ASIDE, {"account_sid": found.account_sid}, summary, found.since)


def _behind(session: Session, now: datetime) -> Iterator[Trouble]:
    """Find out whether changes wait that should long have been evaluated."""
    if since := engine.behind_since(session, now):
        yield Trouble(
            EVALUATION_BEHIND, {}, "logs wait to be taken through the rules: see the log of the workers", since
        )


def _failing(session: Session, now: datetime) -> Iterator[Trouble]:
    """Find the rules that failed of late."""
    rows = session.execute(
        text("SELECT id, name, last_error, failed_at FROM rules WHERE enabled AND failed_at > :lately ORDER BY id"),
        {"lately": now - RULE_FAILS_FOR},
    )
    for rule_id, name, error, failed_at in rows:
        yield Trouble(RULE_FAILING, {"rule_id": str(rule_id)}, f"{name}: {error}", failed_at)


def _overdue(session: Session, now: datetime) -> Iterator[Trouble]:
    """Find out whether deliveries wait that should long have been attempted."""
    count, oldest = overdue(session, now, OVERDUE_AFTER)
    if count and oldest is not None:
        waiting = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
        yield Trouble(DELIVERIES_OVERDUE, {}, f"{waiting}: see whether a worker runs", oldest)


def _disabled(session: Session, settings: Settings) -> Iterator[Trouble]:
    """Find the actions that GiftPulse itself has switched off; they are told of through the others."""
    query = select(Action).where(~Action.enabled, Action.disabled_reason.is_not(None)).order_by(Action.id)
    for action in session.scalars(query):
        summary = f"{_name(action, settings)} is switched off: {action.disabled_reason}"
        yield Trouble(ACTION_DISABLED, {"action_id": str(action.id)}, summary, action.updated_at)


def _name(action: Action, settings: Settings) -> str:
    """Say which action it is by its receivers, as its deliveries name them."""
    try:
        config = config_of(action, settings)
    except Undecryptable:
        return f"an action of type {action.action_type}"
    receivers = kind_for(ActionType(action.action_type)).recipients(config)
    # Of an address the host: its path may be a secret of its own.
    first = urlsplit(receivers[0]).netloc if action.action_type == ActionType.WEBHOOK else receivers[0]
    return f"the {action.action_type} action to {first}" + (f" and {len(receivers) - 1} more" if receivers[1:] else "")
