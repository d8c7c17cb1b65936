"""Updates the catalogue of error codes from a file or from Twilio's published list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from app.errors import ConfigError
from app.services.twilio.error_codes import PACKAGED, Entry, use
from app.utils.proxies import DIRECT, Proxy

PUBLISHED_AT = "https://www.twilio.com/docs/api/errors/twilio-error-codes.json"
MAX_CATALOGUE_BYTES = 16 * 1024 * 1024
DOWNLOAD_SECONDS = 30
MIN_CODES = 100
"""A smaller catalogue cannot be Twilio's."""


def refresh(source: str, target: Path = PACKAGED, proxy: Proxy = DIRECT) -> int:
    """Replace the catalogue with one from a file or URL; return its number of codes.

    Args:    source: a path or URL of Twilio's list, or of our packaged form of it.
    Raises:  ConfigError if it cannot be read or is no catalogue; the old one is kept.
    """
    entries = _parse(_fetch(source, proxy) if "://" in source else _read(Path(source)), source)
    use(entries, target)
    return len(entries)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from None


def _fetch(url: str, proxy: Proxy) -> bytes:
    """Download a catalogue, with limits on size and time."""
    options: dict[str, Any] = {"timeout": DOWNLOAD_SECONDS, "follow_redirects": True, "trust_env": False}
    try:
        with httpx.stream("GET", url, proxy=proxy.for_url(url), **options) as response:
            response.raise_for_status()
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_CATALOGUE_BYTES:
                    raise ConfigError("the catalogue is larger than 16 MiB: give the address of Twilio's list")
            return bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"the catalogue could not be downloaded ({type(error).__name__}): try again, or give a file"
        ) from None


class _Published(msgspec.Struct):
    """One item of Twilio's published list."""

    code: int
    message: str
    log_level: str | None = None
    log_type: str | None = None
    product: str | None = None


def _parse(body: bytes, source: str) -> dict[int, Entry]:
    """Read Twilio's list or the packaged form."""
    entries: dict[int, Entry] = {}
    try:
        if body.lstrip()[:1] == b"[":
            entries = {item.code: _entry(item) for item in _decode_list(body)}
        else:
            entries = msgspec.json.decode(body, type=dict[int, Entry])
    except (msgspec.DecodeError, msgspec.ValidationError):
        entries = {}
    if len(entries) < MIN_CODES:
        raise ConfigError(
            f"{source} is no catalogue of Twilio's error codes: give a list of objects with code and message"
        )
    return entries


def _decode_list(body: bytes) -> Sequence[_Published]:
    return msgspec.json.decode(body, type=list[_Published], strict=False)


def _entry(item: _Published) -> Entry:
    return Entry(item.message, (item.log_level or "error").lower(), (item.log_type or "").lower() or None, item.product)
