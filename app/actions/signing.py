"""Signatures of webhooks by the Standard Webhooks specification. Pure.

Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def make_secret() -> str:
    """Create a secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Decode the key from a secret.

    Raises: ValueError, whose message says what is expected and never repeats the secret.
    """
    wanted = "must be whsec_ and the base64 of 24 to 64 bytes; leave it out and one is made"
    if not secret.startswith(PREFIX):
        raise ValueError(wanted)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(wanted) from None
    if not 24 <= len(key) <= 64:
        raise ValueError(wanted)
    return key


def sign(secrets_in_use: Sequence[str], delivery_id: str, timestamp: int, body: bytes) -> str:
    """Sign a body with each valid secret; return the value of `webhook-signature`.

    Args:    timestamp: seconds since 1970, of this attempt.
    """
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digests = [hmac.new(key_of(secret), signed, hashlib.sha256).digest() for secret in secrets_in_use]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
