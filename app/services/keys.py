"""Creates, finds, lists and revokes API keys. A key is shown once; only its hash is stored.

A key is `gp_` + 8 characters to find it by + `_` + 43 random characters + a checksum of 6. The checksum rejects a
mistyped key without a query.
"""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.enums import Scope
from app.errors import Conflict, NotFound
from app.models import ApiKey, SignOut
from app.services import console_sessions
from app.services.paging import Page, Position, read_page

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH = 8
SECRET_LENGTH = 43
"""43 of 62 characters are just over 256 bits."""
CHECKSUM_LENGTH = 6
USE_RECORDED_EVERY = timedelta(minutes=1)
SORT_KEY = (ApiKey.created_at, ApiKey.id)


def create(session: Session, name: str, scope: Scope, now: datetime) -> tuple[ApiKey, str]:
    """Create a key.

    Returns: its row, and the key in clear, which cannot be shown again.
    """
    prefix = f"gp_{_random(PUBLIC_LENGTH)}"
    body = f"{prefix}_{_random(SECRET_LENGTH)}"
    clear = body + _checksum(body)
    key = ApiKey(name=name, scope=scope, prefix=prefix, key_hash=_hash(clear), created_at=now)
    session.add(key)
    session.flush()
    return key, clear


def find(session: Session, clear: str, now: datetime) -> ApiKey | None:
    """Return the key for this text and record its use; None if it is no key or was revoked."""
    key = (
        session.scalar(select(ApiKey).where(ApiKey.prefix == clear[: 3 + PUBLIC_LENGTH]))
        if is_well_formed(clear)
        else None
    )
    known = key.key_hash if key is not None else _hash("")
    if not hmac.compare_digest(known, _hash(clear)) or key is None or key.revoked_at is not None:
        return None
    _note_use(session, key, now)
    return key


def find_active(session: Session, key_id: UUID, now: datetime) -> ApiKey | None:
    """Return a key by its id and record its use; None if it was revoked."""
    key = session.get(ApiKey, key_id)
    if key is None or key.revoked_at is not None:
        return None
    _note_use(session, key, now)
    return key


def _note_use(session: Session, key: ApiKey, now: datetime) -> None:
    if key.last_used_at is None or key.last_used_at < now - USE_RECORDED_EVERY:
        unnoted = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - USE_RECORDED_EVERY)
        session.execute(update(ApiKey).where(ApiKey.id == key.id, unnoted).values(last_used_at=now))


def sign_out(session: Session, nonce: str, now: datetime) -> None:
    """End a console session, including all copies of its cookie."""
    session.execute(insert(SignOut).values(nonce=nonce, at=now).on_conflict_do_nothing())


def is_signed_out(session: Session, nonce: str) -> bool:
    """Check whether a console session was ended."""
    return session.get(SignOut, nonce) is not None


def get(session: Session, key_id: UUID, *, lock: bool = False) -> ApiKey:
    """Return a key that is not revoked.

    Raises: NotFound.
    """
    key = session.get(ApiKey, key_id, with_for_update=True if lock else None)
    if key is None or key.revoked_at is not None:
        raise NotFound(f"there is no key {key_id}")
    return key


def list_keys(session: Session, position: Position | None, limit: int) -> Page[ApiKey]:
    """List the keys that are not revoked, newest first."""
    return read_page(session, select(ApiKey).where(ApiKey.revoked_at.is_(None)), SORT_KEY, position, limit)


def list_active(session: Session) -> Sequence[ApiKey]:
    """List the keys that are not revoked, oldest first."""
    return session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)).order_by(ApiKey.created_at)).all()


def find_named(session: Session, name: str) -> ApiKey:
    """Return the active key with this name or id.

    Raises: NotFound; Conflict if several keys have the name.
    """
    try:
        return get(session, UUID(name))
    except ValueError:
        query = select(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).order_by(ApiKey.created_at)
    found = session.scalars(query).all()
    if not found:
        raise NotFound("there is no key of this name or id; `keys list` lists them")
    if len(found) > 1:
        raise Conflict("several keys have this name; give an id: " + ", ".join(str(key.id) for key in found))
    return found[0]


def revoke(session: Session, key_id: UUID, now: datetime) -> ApiKey:
    """Revoke a key and end its sessions. The next request with it is rejected.

    Raises: NotFound.
    """
    key = get(session, key_id, lock=True)
    key.revoked_at = now
    console_sessions.end_all(session, str(key.id))
    session.flush()
    return key


def is_well_formed(clear: str) -> bool:
    """Return whether a text has the form of an API key, including its checksum."""
    length = 3 + PUBLIC_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
    if len(clear) != length or not clear.startswith("gp_") or not clear.isascii():
        return False
    return _checksum(clear[:-CHECKSUM_LENGTH]) == clear[-CHECKSUM_LENGTH:]


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
