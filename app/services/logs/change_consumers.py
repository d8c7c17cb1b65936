"""Unprocessed log changes per consumer: the text index, the tallies, and the evaluation."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, false, func, or_, select, text
from sqlalchemy.orm import Session

from app.models import LogChange, Stream, StreamSearch, StreamTally

EVALUATION_BEHIND_AFTER = timedelta(minutes=10)
"""If changes wait this long, no worker runs, or it fails."""

Consumer = type[StreamSearch] | type[StreamTally]


def lagging_streams(session: Session, consumer: Consumer) -> dict[int, int]:
    """List the streams with changes that the consumer has not processed, each with its last processed change."""
    latest = select(func.max(LogChange.id)).where(LogChange.stream_id == Stream.id).scalar_subquery()
    last_seen = func.coalesce(consumer.change_id, 0)
    query = select(Stream.id, last_seen).outerjoin(consumer, consumer.stream_id == Stream.id).where(latest > last_seen)
    return {row[0]: row[1] for row in session.execute(query.order_by(Stream.id))}


def unseen_changes(session: Session, consumer: Consumer) -> ColumnElement[bool]:
    """Select the changes that the consumer has not processed.

    The numbers are literals, so that PostgreSQL knows that there are few and uses the index.
    """
    later = (
        and_(LogChange.stream_id == stream_id, LogChange.id > change_id)
        for stream_id, change_id in lagging_streams(session, consumer).items()
    )
    return or_(false(), *later)


def evaluation_behind_since(
    session: Session, now: datetime, after: timedelta = EVALUATION_BEHIND_AFTER
) -> datetime | None:
    """Return since when the oldest unevaluated change has waited if that is longer than `after`, else None."""
    since: datetime | None = session.scalar(
        text(
            "SELECT min(oldest.seen_at) FROM stream_evaluations AS done CROSS JOIN LATERAL"
            " (SELECT seen_at FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id"
            "  ORDER BY id LIMIT 1) AS oldest WHERE oldest.seen_at < :oldest"
        ),
        {"oldest": now - after},
    )
    return since
