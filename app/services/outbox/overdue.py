"""Deliveries that should have been attempted long ago: a sign that no worker runs."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.outbox.rows import BLOCKED_BY_EARLIER


def overdue(session: Session, now: datetime, after: timedelta) -> tuple[int, datetime | None]:
    """Count the deliveries that wait only for a worker.

    Those that are held, or wait for an earlier delivery of their alert or for a receiver that is down, are not overdue.

    Returns: how many, and when the first of them was due.
    """
    row = session.execute(
        text(
            "SELECT count(*), min(d.next_attempt_at) FROM deliveries d LEFT JOIN actions a ON a.id = d.action_id"
            " WHERE d.status = 'pending' AND d.next_attempt_at < :oldest AND d.held_by IS NULL AND a.probe_at IS NULL"
            " AND (d.lease_until IS NULL OR d.lease_until < :now)"
            f" AND NOT {BLOCKED_BY_EARLIER}"
        ),
        {"oldest": now - after, "now": now},
    ).one()
    return row[0], row[1]
