"""What the console remembers for a key: one-time sign-ins of phones, and parts that were hidden."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models import HiddenPart, SignInToken

TOKEN_BYTES = 32
TOKEN_LIFETIME = timedelta(minutes=5)


class SignIn(NamedTuple):
    """Whose session a token starts."""

    key_id: str
    """Id of the API key; `bootstrap` for `API_KEY`."""
    key_mark: str
    """Fingerprint of `API_KEY` for `bootstrap`, else empty."""
    name: str
    """The person's name."""


def create_token(session: Session, sign_in: SignIn, now: datetime) -> str:
    """Create a token that signs in once, within five minutes. Only its hash is stored.

    Returns: the token, which cannot be shown again.
    """
    session.execute(delete(SignInToken).where(SignInToken.expires_at <= now))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    session.add(SignInToken(token_hash=_hash(token), expires_at=now + TOKEN_LIFETIME, **sign_in._asdict()))
    session.flush()
    return token


def use_token(session: Session, token: str, now: datetime) -> SignIn | None:
    """Use a token up; None if there is none, it was used, or it is too old."""
    found = session.scalar(
        delete(SignInToken)
        .where(SignInToken.token_hash == _hash(token), SignInToken.expires_at > now)
        .returning(SignInToken)
    )
    return None if found is None else SignIn(found.key_id, found.key_mark, found.name)


def _hash(token: str) -> str:
    """Hash a token. It has 256 random bits and needs no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def hide(session: Session, key_id: str, part: str) -> None:
    """Hide a part of the console from all who use a key."""
    session.execute(insert(HiddenPart).values(key_id=key_id, part=part).on_conflict_do_nothing())


def show(session: Session, key_id: str, part: str) -> None:
    """Show a part that was hidden."""
    session.execute(delete(HiddenPart).where(HiddenPart.key_id == key_id, HiddenPart.part == part))


def is_hidden(session: Session, key_id: str, part: str) -> bool:
    """Return whether a part is hidden."""
    return session.scalar(select(HiddenPart).where(HiddenPart.key_id == key_id, HiddenPart.part == part)) is not None
