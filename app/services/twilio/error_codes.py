"""What Twilio's error codes mean: a catalogue packaged with the product, and our words on fault and next step.

A code that the catalogue does not know works all the same: Twilio adds codes without notice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import msgspec

from app.errors import ConfigError
from app.services.twilio.advice import advice_for, family_of

PACKAGED = Path(__file__).parent / "data" / "error_codes.json"
DOCS = "https://www.twilio.com/docs/errors/{code}"
PUBLISHED_AT = "https://www.twilio.com/docs/api/errors/twilio-error-codes.json"
LARGEST_CATALOGUE_BYTES = 16 * 1024 * 1024
DOWNLOAD_SECONDS = 30
FEWEST_CODES = 100
"""A catalogue smaller than this is not Twilio's."""

FAULTS = {"application": "customer", "carrier": "carrier", "twilio": "twilio"}
CAUSES = {
    "customer": "something on your side: your code, your configuration or your account",
    "carrier": "a carrier or the receiving handset",
    "twilio": "Twilio",
    "unknown": "not known from the code alone",
}


class _Entry(msgspec.Struct, array_like=True):
    """One line of the catalogue."""

    message: str
    level: str
    fault: str | None
    product: str | None


@dataclass(frozen=True)
class ErrorCode:
    """What a code means, whose fault it is, and what to do."""

    code: int
    message: str
    level: str
    """`error` or `warning`, as catalogued; the level of a live entry counts for more."""
    product: str | None
    family: str
    """What the range of the code is about."""
    fault: str
    """`customer`, `carrier`, `twilio` or `unknown`."""
    next_step: str
    docs: str
    """The page of Twilio's documentation."""


def describe(code: int) -> ErrorCode:
    """Say what a code means; an unknown one is described as far as its range tells."""
    return _described(code, _Loaded.generation)


def all_codes() -> list[ErrorCode]:
    """List every code of the catalogue, in order."""
    return [describe(code) for code in sorted(_catalogue(_Loaded.generation))]


def explain(code: int) -> dict[str, Any]:
    """Give what alerts and mails say of a code: `code`, `message`, `cause`, `docs`."""
    meaning = describe(code)
    return {
        "code": code,
        "message": meaning.message,
        "cause": f"{meaning.family}; likely cause: {CAUSES[meaning.fault]}. {meaning.next_step}",
        "docs": meaning.docs,
    }


def refresh(source: str, target: Path = PACKAGED) -> int:
    """Replace the catalogue by a newer one, from a file or an address; return how many codes it has.

    Args:    source: a path or an address; it holds Twilio's own list, or our packaged form of it.
    Raises:  ConfigError where it cannot be read or is no catalogue; the old one then stays.
    """
    entries = _parse(_fetch(source) if "://" in source else _read(Path(source)), source)
    lines = [f'"{code}":{msgspec.json.encode(entry).decode()}' for code, entry in sorted(entries.items())]
    fresh = target.with_suffix(".new")
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    fresh.replace(target)
    _Loaded.generation += 1
    return len(entries)


class _Loaded:
    """Which reading of the file is the present one."""

    generation = 0


@lru_cache(maxsize=1)
def _catalogue(_generation: int) -> Mapping[int, _Entry]:
    return msgspec.json.decode(PACKAGED.read_bytes(), type=dict[int, _Entry])


@lru_cache(maxsize=8192)
def _described(code: int, generation: int) -> ErrorCode:
    entry = _catalogue(generation).get(code)
    advice = advice_for(code)
    fault = advice.fault or FAULTS.get((entry.fault or "") if entry else "", "unknown")
    return ErrorCode(
        code=code,
        message=entry.message if entry else "unknown code",
        level=entry.level if entry else "error",
        product=entry.product if entry else None,
        family=family_of(code),
        fault=fault,
        next_step=advice.next_step,
        docs=DOCS.format(code=code),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from None


def _fetch(url: str) -> bytes:
    """Download a catalogue, bounded in size and time."""
    try:
        with httpx.stream("GET", url, timeout=DOWNLOAD_SECONDS, follow_redirects=True) as response:
            response.raise_for_status()
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LARGEST_CATALOGUE_BYTES:
                    raise ConfigError("the catalogue is larger than 16 MiB: give the address of Twilio's list")
            return bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"the catalogue could not be downloaded ({type(error).__name__}): try again, or give a file"
        ) from None


class _Published(msgspec.Struct):
    """One item of the list that Twilio publishes."""

    code: int
    message: str
    log_level: str | None = None
    log_type: str | None = None
    product: str | None = None


def _parse(body: bytes, source: str) -> dict[int, _Entry]:
    """Read Twilio's list, or the packaged form."""
    entries: dict[int, _Entry] = {}
    try:
        if body.lstrip()[:1] == b"[":
            entries = {item.code: _entry(item) for item in _decode_list(body)}
        else:
            entries = msgspec.json.decode(body, type=dict[int, _Entry])
    except (msgspec.DecodeError, msgspec.ValidationError):
        entries = {}
    if len(entries) < FEWEST_CODES:
        raise ConfigError(
            f"{source} is no catalogue of Twilio's error codes: give a list of objects with code and message"
        )
    return entries


def _decode_list(body: bytes) -> Sequence[_Published]:
    return msgspec.json.decode(body, type=list[_Published], strict=False)


def _entry(item: _Published) -> _Entry:
    return _Entry(
        item.message, (item.log_level or "error").lower(), (item.log_type or "").lower() or None, item.product
    )
