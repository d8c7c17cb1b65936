"""Cursors: the signed end position of a page, bound to its list and filters. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import orjson

SIGNATURE_BYTES = 9
PATTERN = r"^[A-Za-z0-9_-]{16,400}$"


class InvalidCursor(Exception):
    """Not one of our cursors, or one of another list or other filters."""


def encode(secret: str, context: str, position: Sequence[str | int]) -> str:
    """Write a cursor.

    Args:    context: names the list and its filters; position: values of the sort columns in the last row shown.
    """
    body = orjson.dumps(list(position))
    return base64.urlsafe_b64encode(_sign(secret, context, body) + body).rstrip(b"=").decode()


def decode(secret: str, context: str, cursor: str) -> list[Any]:
    """Read the position from a cursor.

    Raises: InvalidCursor.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidCursor from None
    signature, body = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(secret, context, body)):
        raise InvalidCursor
    position: list[Any] = orjson.loads(body)
    return position


def _sign(secret: str, context: str, body: bytes) -> bytes:
    key = hashlib.sha256(b"cursor" + secret.encode()).digest()
    return hmac.new(key, context.encode() + b"\x00" + body, hashlib.sha256).digest()[:SIGNATURE_BYTES]
