"""How far reading, evaluation and delivery lag: now, and minute by minute for a week."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models import Lag
from app.services.logs import change_consumers
from app.services.outbox.overdue import overdue

KEPT = timedelta(days=7, hours=1)
_READ_UNTIL = text(
    "SELECT min(coalesce(s.complete_until, a.started_at)) FROM streams s JOIN accounts a ON a.id = s.account_id"
    " WHERE a.enabled AND NOT s.unavailable"
)


@dataclass(frozen=True)
class Lags:
    """The lag of each stage, in seconds."""

    reading: float
    evaluation: float
    delivery: float


def measure(session: Session, now: datetime) -> Lags:
    """Measure the lags of this moment."""
    waiting = (
        session.scalar(_READ_UNTIL),
        change_consumers.evaluation_behind_since(session, now, timedelta(0)),
        overdue(session, now, timedelta(0))[1],
    )
    return Lags(*(0.0 if since is None else max(0.0, (now - since).total_seconds()) for since in waiting))


def record(session: Session, now: datetime) -> None:
    """Store the lags of this minute; the first of several schedulers wins."""
    found = measure(session, now)
    row = insert(Lag).values(at=now.replace(second=0, microsecond=0), **vars(found))
    session.execute(row.on_conflict_do_nothing())


def highest(session: Session, since: datetime, until: datetime, bucket: timedelta) -> Sequence[Lags | None]:
    """Return the highest lags of each bucket in time order; None where nothing was measured."""
    kept = session.scalars(select(Lag).where(Lag.at >= since, Lag.at < until)).all()
    buckets: list[list[Lag]] = [[] for _ in range(-((since - until) // bucket))]
    for each in kept:
        buckets[(each.at - since) // bucket].append(each)
    return [_highest(each) for each in buckets]


def _highest(minutes: Sequence[Lag]) -> Lags | None:
    if not minutes:
        return None
    return Lags(
        max(each.reading for each in minutes),
        max(each.evaluation for each in minutes),
        max(each.delivery for each in minutes),
    )


def delete_expired(session: Session, now: datetime) -> None:
    """Delete minutes that no plot shows any more."""
    session.execute(delete(Lag).where(Lag.at < now - KEPT))
