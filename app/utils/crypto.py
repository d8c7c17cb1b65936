"""Secrets at rest: Fernet under keys derived from texts of the settings."""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Undecryptable(Exception):
    """None of the keys opens the text: it was encrypted under a key that is no longer listed."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys])


def encrypt(keys: Sequence[str], text: str) -> str:
    """Encrypt under the first key; the answer is ASCII."""
    return _fernet(tuple(keys)).encrypt(text.encode()).decode()


def decrypt(keys: Sequence[str], token: str) -> str:
    """Decrypt with whichever key opens it.

    Raises: Undecryptable.
    """
    try:
        return _fernet(tuple(keys)).decrypt(token.encode()).decode()
    except InvalidToken:
        raise Undecryptable(
            "SECRET_KEY does not open a stored secret: list the key it was stored under as well"
        ) from None
