"""The health of GiftPulse itself, for `GET /api/health`, the heartbeat and operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal

import httpx
import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import wake
from app.config import Settings
from app.database import session_scope
from app.metrics import MAX_HEARTBEAT_AGE
from app.services import privileges, secrets, setup
from app.services.ingest import quarantine
from app.services.logs import change_consumers
from app.services.outbox.overdue import overdue
from app.services.self_monitoring import (
    DELIVERIES_OVERDUE_AFTER,
    MAX_FAILED_POLLS,
    max_time_unread,
    without_path,
)
from app.services.twilio.read_advice import advise
from app.utils.clock import rfc3339
from app.utils.database_errors import explain
from app.utils.quantities import counted
from app.utils.tls import tls_context

Status = Literal["ok", "degraded", "down"]

MAX_SHOWN = 5
HEARTBEAT_TIMEOUT_SECONDS = 10
HEARTBEAT_EVERY = timedelta(seconds=50)
"""Beat ticks every minute, sometimes a little early."""

_UNREAD = text("""
    SELECT sid, coalesce(friendly_name, sid) AS name, from_environment, log_type, last_error, read_once
    FROM (
        SELECT a.sid, a.friendly_name, a.from_environment, s.log_type, s.last_error, s.failures,
            coalesce(s.last_success_at, a.started_at) AS read_at,
            coalesce(s.last_success_at >= coalesce(a.credentials_at, a.started_at), false) AS read_once
        FROM streams s JOIN accounts a ON a.id = s.account_id
        WHERE a.enabled AND NOT s.unavailable
    ) AS watched
    WHERE NOT read_once OR failures >= :failures OR read_at < :oldest
    ORDER BY sid, log_type
""")

NOT_KNOWN = "not known while the database cannot be used"
NO_ACCOUNT = "no account is watched: set TWILIO_ACCOUNT_SID and its credentials, or add one by POST /api/accounts"

log = structlog.get_logger()


@dataclass(frozen=True)
class Check:
    """The state of one component, and what to do if it is unhealthy."""

    status: Status
    detail: str
    next_step: str = ""
    """What to do; empty where `detail` says it, or where nothing is to be done."""
    unread: tuple[str, ...] = ()
    """Names of the accounts with streams that are not read."""


@dataclass(frozen=True)
class Health:
    """All checks, by name."""

    checks: dict[str, Check]

    @property
    def status(self) -> Status:
        """Only an unavailable database is `down`: nothing else works without it."""
        if self.checks["database"].status == "down":
            return "down"
        return "ok" if all(check.status == "ok" for check in self.checks.values()) else "degraded"


def examine(settings: Settings, now: datetime) -> Health:
    """Run all checks. Each takes at most a few seconds."""
    broker = _broker()
    try:
        with session_scope() as session:
            session.execute(text("SET LOCAL statement_timeout = '3s'"))
            database = _database(session)
            if database.status == "down":
                return _unknown(database, broker)
            found = {name: check(session, settings, now) for name, check in _CHECKS.items()}
    except SQLAlchemyError as error:
        return _unknown(Check("down", explain(error)), broker)
    return Health({"database": database, "broker": broker, **found})


def _database(session: Session) -> Check:
    """Check that the role may write: it may see the tables without being allowed to."""
    missing = privileges.missing(session)
    if missing is None:
        return Check("ok", "answers")
    return Check("down" if missing.stops_all else "degraded", missing.said)


def _unknown(database: Check, broker: Check) -> Health:
    unknown = Check("degraded", NOT_KNOWN)
    return Health({"database": database, "broker": broker, **dict.fromkeys(_CHECKS, unknown)})


def _broker() -> Check:
    if (fault := wake.broker_fault()) is None:
        return Check("ok", "answers")
    return Check("degraded", f"{wake.explain(fault)}; what is due waits in the database")


def _polling(session: Session, settings: Settings, now: datetime) -> Check:
    """Check that every stream is read, and has been read with the account's current credentials."""
    silence = max_time_unread(settings)
    rows = session.execute(_UNREAD, {"failures": MAX_FAILED_POLLS, "oldest": now - silence}).all()
    if rows:
        accounts = [list(each) for _, each in groupby(rows, key=lambda row: row.sid)]
        shown = accounts[:MAX_SHOWN]
        detail = f"{counted(len(rows), 'stream is', 'streams are')} not read: " + "; ".join(map(_unread, shown))
        next_step = next(filter(None, map(_advise, shown)), "")
        return Check("degraded", detail, next_step, tuple(streams[0].name for streams in accounts))
    if not session.scalar(text("SELECT EXISTS (SELECT FROM accounts WHERE enabled)")):
        return Check("degraded", NO_ACCOUNT)
    quarantined = quarantine.count_since(session, now - timedelta(days=1))
    if not quarantined:
        return Check("ok", "every stream is read")
    count = sum(each.count for each in quarantined)
    lately = quarantine.count_since(session, now - quarantine.TOLERATED_WITHIN)
    status: Status = "degraded" if any(each.count > quarantine.MAX_TOLERATED for each in lately) else "ok"
    where = ", ".join(f"GET /api/accounts/{each.account_sid}" for each in quarantined[:MAX_SHOWN])
    records = counted(count, "record", "records")
    return Check(status, f"every stream is read; {records} quarantined in the last day: see {where}")


def _unread(streams: Sequence[Row[Any]]) -> str:
    """Say once what is wrong with the streams of an account: they mostly fail together."""
    error = next((without_path(stream.last_error) for stream in streams if stream.last_error), None)
    named = f"{streams[0].name} ({', '.join(stream.log_type for stream in streams)})"
    if all(stream.read_once for stream in streams):
        return f"{named}: {error or 'no successful poll for three intervals'}"
    return f"{named}: not read yet" + (f": {error}" if error else "")


def _advise(streams: Sequence[Row[Any]]) -> str:
    advices = (advise(stream.last_error, from_environment=stream.from_environment) for stream in streams)
    return next(filter(None, advices), "")


def _workers(session: Session, _: Settings, now: datetime) -> Check:
    """Check that beat ticks, that a worker handles its ticks, and that new logs are evaluated."""
    seen = {name: at for name, at in session.execute(text("SELECT name, seen_at FROM heartbeats"))}  # noqa: C416  # rows
    silent = [name for name in ("worker", "beat") if name not in seen or seen[name] < now - MAX_HEARTBEAT_AGE]
    if silent:
        detail = "no tick of beat reached a worker for a minute: see whether both run and reach the broker"
        return Check("degraded", detail)
    if since := change_consumers.evaluation_behind_since(session, now):
        return Check("degraded", f"logs wait since {rfc3339(since)} to be evaluated: see the workers' log")
    return Check("ok", "a worker and beat are running")


def _deliveries(session: Session, settings: Settings, now: datetime) -> Check:
    """Check that pending deliveries are sent."""
    late, _since = overdue(session, now, DELIVERIES_OVERDUE_AFTER)
    disabled = session.scalars(
        text("SELECT disabled_reason FROM actions WHERE NOT enabled AND disabled_reason IS NOT NULL")
    ).all()
    reasons = [f"{counted(late, 'delivery is', 'deliveries are')} overdue by ten minutes"] if late else []
    if closed := secrets.count_unreadable(session, settings.secret_keys):
        reasons.append(
            f"SECRET_KEY does not decrypt {closed} of the stored secrets: list the key they were stored under as well"
        )
    reasons += [f"an action was disabled: {reason}" for reason in disabled[:MAX_SHOWN]]
    if reasons:
        return Check("degraded", "; ".join(reasons))
    left = [f"{line}; {setup.COMMAND} creates it" for line in setup.missing(session)]
    return Check("ok", "; ".join(["nothing is overdue", *left]))


_CHECKS: dict[str, Callable[[Session, Settings, datetime], Check]] = {
    "polling": _polling,
    "workers": _workers,
    "deliveries": _deliveries,
}


def _claim_heartbeat(session: Session, now: datetime) -> bool:
    """Claim this minute's heartbeat. Only one succeeds, however many schedulers tick."""
    claimed = session.execute(
        text(
            "INSERT INTO heartbeats AS sent (name, seen_at) VALUES ('sent', :now)"
            " ON CONFLICT (name) DO UPDATE SET seen_at = :now WHERE sent.seen_at <= :before OR sent.seen_at > :now"
            " RETURNING name"
        ),
        {"now": now, "before": now - HEARTBEAT_EVERY},
    )
    return claimed.first() is not None


def send_heartbeat(settings: Settings, now: datetime) -> bool:
    """Ping `HEARTBEAT_URL` if everything is read and nothing is overdue. Its monitor raises the alarm if pings stop.

    Returns: whether it was pinged and answered with success.
    """
    if settings.heartbeat_url is None:
        return False
    try:
        with session_scope() as session:
            well = (
                _polling(session, settings, now).status == "ok"
                and not overdue(session, now, DELIVERIES_OVERDUE_AFTER)[0]
            )
            claimed = well and _claim_heartbeat(session, now)
    except SQLAlchemyError:
        well = claimed = False
    if not well:
        log.warning("no heartbeat is sent while something is wrong; GET /api/health says what")
    if not claimed:
        return False
    try:
        url = settings.heartbeat_url.get_secret_value()
        proxy = settings.outgoing_proxy.for_url(url)
        answer = httpx.get(url, timeout=HEARTBEAT_TIMEOUT_SECONDS, proxy=proxy, trust_env=False, verify=tls_context())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("the heartbeat could not be sent; see HEARTBEAT_URL", error=type(error).__name__)
        return False
    if not answer.is_success:
        log.warning("the heartbeat was not accepted; see HEARTBEAT_URL", status_code=answer.status_code)
    return answer.is_success
