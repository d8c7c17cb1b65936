"""Requests and responses as values, so that everything except the socket is a plain function."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One HTTP request; header names are in lower case."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The path, without the query."""
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, str]:
        """The decoded parameters of the query; of a repeated name the last."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, list[str]]:
        """The decoded parameters of a form body."""
        return parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)

    @cached_property
    def credentials(self) -> tuple[str, str] | None:
        """User and password of Basic authentication; None if missing or unreadable."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if scheme.lower() == "basic" and colon else None

    def json(self) -> Any:
        """Decode the body.

        Raises: ValueError: it is not JSON.
        """
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """A response, and how it misbehaves."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json; charset=utf-8"})
    delay_seconds: float = 0.0
    """Delay before the response."""
    stall_seconds: float = 0.0
    """Pause in the middle of the body."""
    cut_at_bytes: int | None = None
    """The connection closes after this many bytes of the body, although more were announced."""
    reset: bool = False
    """The connection is reset instead of a response."""
    stream: Iterator[bytes] | None = None
    """Chunks sent after the body, without an announced length."""


def json_bytes(value: object) -> bytes:
    """Encode a value as Twilio does: text as UTF-8, half of a surrogate pair as an escape."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def json_response(status: int, value: object, **headers: str) -> Response:
    """Build a response with a JSON document."""
    body = json_bytes(value)
    return Response(status, body, {"Content-Type": "application/json; charset=utf-8", **headers})
