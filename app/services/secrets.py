"""All stored secrets: checks that they decrypt, and re-encrypts them."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import ConfigError, Conflict
from app.models import Account, Action
from app.utils.crypto import Undecryptable, decrypt, encrypt

ENCRYPTED_COLUMNS: tuple[tuple[Any, InstrumentedAttribute[Any]], ...] = (
    (Account, Account.auth_token),
    (Account, Account.next_auth_token),
    (Account, Account.api_key_secret),
    (Account, Account.signing_keys),
    (Action, Action.config),
)
"""Every column whose texts are encrypted with `SECRET_KEY`."""


def count_unreadable(session: Session, keys: Sequence[str]) -> int:
    """Count the stored secrets that no key decrypts."""
    return sum(not _is_readable(keys, token) for _, _, token in _stored(session, lock=False))


def check_keys(session: Session, keys: Sequence[str]) -> None:
    """Check that the keys decrypt the stored secrets.

    Raises: ConfigError if there are stored secrets and none can be decrypted. A single unreadable secret must not stop
            everything else.
    """
    opened = [_is_readable(keys, token) for _, _, token in _stored(session, lock=False)]
    if opened and not any(opened):
        raise ConfigError(
            f"SECRET_KEY decrypts none of the {len(opened)} stored secrets: list the key they were stored under as"
            " well; if it is lost, set the secrets of actions and accounts again, through the API"
        )


def rotate(session: Session, keys: Sequence[str]) -> int:
    """Re-encrypt every stored secret with the first key and return their number.

    Raises: Conflict if one cannot be decrypted; then nothing is changed.
    """
    count = 0
    for row, name, token in _stored(session, lock=True):
        try:
            setattr(row, name, encrypt(keys, decrypt(keys, token)))
        except Undecryptable as error:
            raise Conflict(f"nothing was changed: {error}") from None
        count += 1
    return count


def _stored(session: Session, *, lock: bool) -> Iterator[tuple[Any, str, str]]:
    """Iterate over all encrypted texts as (row, column name, text)."""
    for model, column in ENCRYPTED_COLUMNS:
        query = select(model).where(column.is_not(None)).order_by(model.id)
        for row in session.scalars(query.with_for_update(key_share=True) if lock else query):
            yield row, column.key, getattr(row, column.key)


def _is_readable(keys: Sequence[str], token: str) -> bool:
    try:
        decrypt(keys, token)
    except Undecryptable:
        return False
    return True
