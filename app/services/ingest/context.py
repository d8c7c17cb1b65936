"""What the steps of ingesting share: the source of records, and the rules for storing them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.config import Settings
from app.enums import LogSource, LogType
from app.services.logs.log_rows import StorePolicy


@dataclass(frozen=True)
class IngestContext:
    """The source of records, and the rules for storing them."""

    account_id: int
    log_type: LogType
    source: LogSource
    settings: Settings
    floor: datetime | None = None
    """Logs that ended before this are ignored, even if a page contains them."""


def store_policy(settings: Settings, now: datetime) -> StorePolicy:
    """Return the storage policy from the settings."""
    return StorePolicy(
        settle=timedelta(hours=settings.settle_hours),
        poll_interval=timedelta(seconds=settings.poll_interval_seconds),
        keep_bodies=settings.store_message_bodies,
        oldest=now - timedelta(days=settings.retention_days),
    )


def dependent_types(log_type: LogType) -> tuple[LogType, ...]:
    """Error entries set the codes of calls, so storing them writes changes of calls."""
    return (LogType.CALL,) if log_type == LogType.ERROR else ()
