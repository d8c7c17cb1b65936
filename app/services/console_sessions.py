"""Who is signed in to the console: sessions by key and person, as they were last seen."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models import ConsoleSession

MAX_LISTED = 100


def note(session: Session, nonce: str, key_id: str, name: str, expires_at: datetime, now: datetime) -> None:
    """Record that a session was seen now."""
    seen = {"seen_at": now, "expires_at": expires_at}
    row = insert(ConsoleSession).values(nonce=nonce, key_id=key_id, name=name, **seen)
    session.execute(row.on_conflict_do_update(index_elements=["nonce"], set_=seen))


def forget(session: Session, nonce: str) -> None:
    """Drop a session that was signed out."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.nonce == nonce))


def open_sessions(session: Session, key_ids: Sequence[str], now: datetime) -> dict[str, list[ConsoleSession]]:
    """List the sessions of keys that are not over, by key, the last seen first."""
    query = select(ConsoleSession).where(ConsoleSession.key_id.in_(key_ids), ConsoleSession.expires_at > now)
    found: defaultdict[str, list[ConsoleSession]] = defaultdict(list)
    for each in session.scalars(query.order_by(ConsoleSession.seen_at.desc())):
        found[each.key_id].append(each)
    return found


def end_all(session: Session, key_id: str) -> None:
    """Drop the sessions of a revoked key."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.key_id == key_id))


def delete_expired(session: Session, now: datetime) -> None:
    """Drop sessions that are over."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at <= now))
