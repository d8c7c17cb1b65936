"""How far reading, evaluation and delivery lag: now, and minute by minute for a week."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Lag
from app.services.ingest import coverage
from app.services.ingest.plan import ALLOWANCE
from app.services.logs import change_consumers
from app.services.logs.change_consumers import EVALUATION_BEHIND_AFTER
from app.services.logs.stats import ORIGIN
from app.services.outbox.overdue import overdue
from app.services.self_monitoring import DELIVERIES_OVERDUE_AFTER, max_time_unread
from app.services.spans import check_span
from app.utils.json_types import JsonObject

KEPT = timedelta(days=7, hours=1)


@dataclass(frozen=True)
class Lags:
    """The lag of each stage, in seconds."""

    reading: float
    evaluation: float
    delivery: float


STAGES = tuple(field.name for field in fields(Lags))


def measure(session: Session, now: datetime) -> Lags:
    """Measure the lags of this moment."""
    waiting = (
        coverage.read_until(session),
        change_consumers.evaluation_behind_since(session, now, timedelta(0)),
        overdue(session, now, timedelta(0))[1],
    )
    return Lags(*(0.0 if since is None else max(0.0, (now - since).total_seconds()) for since in waiting))


def record(session: Session, now: datetime) -> None:
    """Store the lags of this minute; the first of several schedulers wins."""
    found = measure(session, now)
    row = insert(Lag).values(at=now.replace(second=0, microsecond=0), **vars(found))
    session.execute(row.on_conflict_do_nothing())


def highest(session: Session, since: datetime, until: datetime, bucket: timedelta) -> dict[datetime, Lags]:
    """Return the highest lags of each bucket by its start, in time order. A bucket without measurement is omitted.

    Args:    bucket: its starts are whole multiples of it in UTC.
    Raises:  InvalidInput if the span is empty or longer than the lags are stored.
    """
    check_span(since, until, KEPT)
    start = func.date_bin(bucket, Lag.at, ORIGIN).label("start")
    query = select(start, *(func.max(getattr(Lag, stage)) for stage in STAGES)).group_by("start").order_by("start")
    return {at: Lags(*found) for at, *found in session.execute(query.where(Lag.at >= since, Lag.at < until))}


def limits(settings: Settings) -> Lags:
    """Return the lags from which on a stage is too far behind."""
    unread = max_time_unread(settings) + ALLOWANCE
    spans = (unread, EVALUATION_BEHIND_AFTER, DELIVERIES_OVERDUE_AFTER)
    return Lags(*(each.total_seconds() for each in spans))


def to_json(found: Lags) -> JsonObject:
    """Serialize lags: the seconds of each stage."""
    return {f"{stage}_seconds": round(getattr(found, stage), 3) for stage in STAGES}


def delete_expired(session: Session, now: datetime) -> None:
    """Delete minutes that no plot shows any more."""
    session.execute(delete(Lag).where(Lag.at < now - KEPT))
