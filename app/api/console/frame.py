"""The frame of every page: open alerts, the traffic of the last hour, and when Twilio was last read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.database import session_scope
from app.enums import LogType
from app.services.alerts.search import count_open
from app.services.ingest import coverage
from app.services.ingest.coverage import WatchedStreams
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
    watched: WatchedStreams
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
        return Frame(count_open(session).total, coverage.watched_streams(session), pulse)
