"""The meaning of Twilio's error codes: a packaged catalogue, with our advice on fault and next step.

Unknown codes are supported: Twilio adds codes without notice.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from app.services.twilio.advice import Advice, advice_for, family_of

PACKAGED = Path(__file__).parent / "data" / "error_codes.json"
DOCS = "https://www.twilio.com/docs/errors/{code}"

FAULTS = {"application": "customer", "carrier": "carrier", "twilio": "twilio"}
CAUSES = {
    "customer": "something on your side: your code, your configuration or your account",
    "carrier": "a carrier or the receiving handset",
    "twilio": "Twilio",
    "unknown": "not known from the code alone",
}


class Entry(msgspec.Struct, array_like=True):
    """One entry of the catalogue."""

    message: str
    level: str
    fault: str | None
    product: str | None


@dataclass(frozen=True)
class ErrorCode:
    """The meaning of a code, who is at fault, and what to do."""

    code: int
    message: str
    level: str
    """`error` or `warning` according to the catalogue; the level of an actual entry takes precedence."""
    product: str | None
    family: str
    """The subject of the code's range."""
    fault: str
    """`customer`, `carrier`, `twilio` or `unknown`."""
    next_step: str
    fits_one: bool
    """`next_step` applies to a single number."""
    docs: str
    """The page in Twilio's documentation."""


def load() -> None:
    """Load the catalogue now, not at the first lookup."""
    _catalogue(_Loaded.generation)


def describe(code: int) -> ErrorCode:
    """Describe a code; an unknown one by its range."""
    return _described(code, _Loaded.generation)


def is_known(code: int) -> bool:
    """Check whether the catalogue has a code."""
    return code in _catalogue(_Loaded.generation)


def all_codes() -> list[ErrorCode]:
    """List all codes of the catalogue, in order."""
    return [describe(code) for code in _sorted_codes(_Loaded.generation)]


def any_known(first: int, last: int) -> bool:
    """Return whether the catalogue has a code between `first` and `last`, inclusive."""
    codes = _sorted_codes(_Loaded.generation)
    index = bisect_left(codes, first)
    return index < len(codes) and codes[index] <= last


def count_known(ranges: Iterable[tuple[int, int]]) -> int:
    """Count the codes of the catalogue in these ranges."""
    codes = _sorted_codes(_Loaded.generation)
    return sum(bisect_left(codes, last + 1) - bisect_left(codes, first) for first, last in ranges)


def fault_of(code: int, advice: Advice) -> str:
    """Return who is at fault: by our advice, else by the catalogue."""
    entry = _catalogue(_Loaded.generation).get(code)
    return advice.fault or FAULTS.get((entry.fault or "") if entry else "", "unknown")


def generation() -> int:
    """Return the number of the catalogue in use; another one has another number."""
    return _Loaded.generation


def notice_update() -> int:
    """Use the catalogue's file as it is now, if another process has replaced it; return the catalogue's number."""
    written_at = PACKAGED.stat().st_mtime_ns
    if written_at != _Loaded.written_at:
        _Loaded.generation += 1
        _Loaded.written_at = written_at
    return _Loaded.generation


def to_json(code: ErrorCode) -> dict[str, Any]:
    """Serialize a code as the API shows it."""
    shown = asdict(code)
    del shown["fits_one"]
    return shown


def explain(code: int) -> dict[str, Any]:
    """Return the part of a description that alerts and mails contain: `code`, `message`, `cause`, `docs`."""
    meaning = describe(code)
    return {
        "code": code,
        "message": meaning.message,
        "cause": f"{meaning.family}; likely cause: {CAUSES[meaning.fault]}. {meaning.next_step}",
        "docs": meaning.docs,
    }


def use(entries: Mapping[int, Entry], target: Path = PACKAGED) -> None:
    """Replace the catalogue."""
    lines = [f'"{code}":{msgspec.json.encode(entry).decode()}' for code, entry in sorted(entries.items())]
    fresh = target.with_suffix(".new")
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    fresh.replace(target)
    _Loaded.generation += 1


class _Loaded:
    """The current version of the catalogue file."""

    generation = 0
    written_at = PACKAGED.stat().st_mtime_ns


@lru_cache(maxsize=1)
def _catalogue(_generation: int) -> Mapping[int, Entry]:
    return msgspec.json.decode(PACKAGED.read_bytes(), type=dict[int, Entry])


@lru_cache(maxsize=1)
def _sorted_codes(generation: int) -> list[int]:
    return sorted(_catalogue(generation))


@lru_cache(maxsize=8192)
def _described(code: int, generation: int) -> ErrorCode:
    entry = _catalogue(generation).get(code)
    advice = advice_for(code)
    fault = fault_of(code, advice)
    return ErrorCode(
        code=code,
        message=entry.message if entry else "unknown code",
        level=entry.level if entry else "error",
        product=entry.product if entry else None,
        family=family_of(code),
        fault=fault,
        next_step=advice.next_step,
        fits_one=advice.fits_one,
        docs=DOCS.format(code=code),
    )
