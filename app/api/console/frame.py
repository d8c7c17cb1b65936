"""The frame of every page: open alerts, the traffic of the last hour, and when Twilio was last read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from app.database import session_scope
from app.enums import AlertStatus, LogType
from app.models import Account, Alert, Stream
from app.services.logs import stats
from app.services.logs.search import LogFilter
from app.utils.caching import ReadCache
from app.utils.clock import utc_now

KEEP_SECONDS = 2.0
PULSE_KEEP_SECONDS = 10.0
PULSE_MINUTES = 60
FAILED = frozenset({"failed", "undelivered"})
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Pulse:
    """Calls and messages of the last hour, minute by minute."""

    good: Sequence[int]
    failed: Sequence[int]


@dataclass(frozen=True)
class Frame:
    """The state that the sidebar and the title show."""

    open_alerts: int
    read_at: datetime | None
    """The oldest last read of all streams; None while some stream was never read."""
    was_read: bool
    """Whether any stream was ever read."""
    streams: int
    accounts: int
    pulse: Pulse


def frame_cache() -> ReadCache[[], Frame]:
    """Make the cache of the frame, and in it the one of the pulse, which changes more slowly."""
    pulse = ReadCache(_read_pulse, PULSE_KEEP_SECONDS)
    return ReadCache(lambda: _read_frame(pulse.get()), KEEP_SECONDS)


def _read_pulse() -> Pulse:
    until = utc_now().replace(second=0, microsecond=0) + MINUTE
    since = until - PULSE_MINUTES * MINUTE
    wanted = LogFilter(log_type=(LogType.CALL, LogType.MESSAGE), since=since, until=until)
    with session_scope() as session:
        counts = stats.Snapshot(session).count(wanted, "minute", "status")
    good, failed = [0] * PULSE_MINUTES, [0] * PULSE_MINUTES
    for each in counts:
        (failed if each.value in FAILED else good)[int((each.at - since) / MINUTE)] += each.count
    return Pulse(good, failed)


def _read_frame(pulse: Pulse) -> Frame:
    with session_scope() as session:
        open_alerts = session.scalar(
            select(func.count()).select_from(Alert).where(Alert.status != AlertStatus.RESOLVED)
        )
        watched = (
            select(
                func.min(Stream.last_success_at),
                func.count(),
                func.count(Stream.last_success_at),
                func.count(Stream.account_id.distinct()),
            )
            .join(Account, Account.id == Stream.account_id)
            .where(Account.enabled, Stream.unavailable.is_(False))
        )
        oldest, streams, read, accounts = session.execute(watched).one()
    return Frame(open_alerts or 0, oldest if read == streams else None, read > 0, streams, accounts, pulse)
