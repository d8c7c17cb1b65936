"""Encryption of stored secrets: Fernet with keys derived from `SECRET_KEY`."""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Undecryptable(Exception):
    """No key decrypts the text: its key is no longer listed."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys])


def encrypt(keys: Sequence[str], text: str) -> str:
    """Encrypt with the first key. The result is ASCII."""
    return _fernet(tuple(keys)).encrypt(text.encode()).decode()


def decrypt(keys: Sequence[str], token: str) -> str:
    """Decrypt with any of the keys.

    Raises: Undecryptable.
    """
    try:
        return _fernet(tuple(keys)).decrypt(token.encode()).decode()
    except InvalidToken:
        raise Undecryptable("SECRET_KEY does not decrypt a stored secret: add the key that encrypted it") from None
