"""Reads single fields of Twilio's records. An unreadable value is kept in `rest` with a note. Pure."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from app.services.ingest.records import Number, Record
from app.services.logs.defaults import UNREADABLE
from app.services.twilio.dates import parse_time

MAX_INT = 2**31 - 1
MAX_PRICE = Decimal(10) ** 12
MAX_DECIMALS = 20


def note(rest: dict[str, Any], name: str, value: Any, reason: str) -> None:
    """Keep the raw value of an unreadable field, with the reason."""
    rest[name] = value
    rest.setdefault(UNREADABLE, {})[name] = reason


def read_time(fields: Record, name: str, rest: dict[str, Any]) -> datetime | None:
    """Read a time for a column. If its format is unusual, keep the raw value, too."""
    text: str | None = getattr(fields, name)
    if text is None:
        return None
    if len(text) != 31 or not text.endswith(" +0000"):
        rest[name] = text
    if not text:
        return None
    at = parse_time(text)
    if at is None:
        note(rest, name, text, "is not a time")
    return at


def read_address(address: str | None, name: str, rest: dict[str, Any]) -> str | None:
    """Return an address; None if it is empty."""
    if address == "":
        rest[name] = ""
    return address or None


def read_code(value: Number, name: str, usual: type, rest: dict[str, Any]) -> int | None:
    """Read an error code: an integer, digits, an empty text or null.

    Args:    usual: the type that Twilio sends in this list; any other is kept in `rest`, too.
    """
    if value is None:
        return None
    if type(value) is not usual or value == "":
        rest[name] = value
    return _whole_or_note(value, name, rest)


def read_whole(value: Number, name: str, rest: dict[str, Any]) -> int | None:
    """Read a whole number, which Twilio sends as a text; another notation is kept in `rest`, too."""
    if value is None:
        return None
    number = _whole_or_note(value, name, rest)
    if value != str(number):
        rest[name] = value
    return number


def _whole_or_note(value: float | str, name: str, rest: dict[str, Any]) -> int | None:
    if value == "":
        return None
    number = _int(value)
    if number is None:
        note(rest, name, value, "is not a non-negative whole number")
    return number


@lru_cache(maxsize=8192)
def _int(value: float | str) -> int | None:
    """Read a whole number in any notation, such as `7`, `"7"` or `"7.0"`; None if it cannot be stored."""
    try:
        exact = int(value) if isinstance(value, str) and value.isdecimal() else Decimal(value)
        # Bounded first: all digits of `1e1000000` would take a minute.
        return int(exact) if 0 <= exact <= MAX_INT and exact == int(exact) else None
    except (ValueError, InvalidOperation):
        return None


def read_price(value: Number, rest: dict[str, Any]) -> Decimal | None:
    """Read a price, which Twilio sends as a text. All digits count."""
    if value is None:
        return None
    number, usual = _decimal(value)
    if number is None and value != "":
        note(rest, "price", value, "is not a price")
    elif not usual:
        rest["price"] = value
    return number


@lru_cache(maxsize=8192)
def _decimal(value: float | str) -> tuple[Decimal | None, bool]:
    """Return a number or None if it cannot be stored, and whether its notation is the usual one."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None, False
    if not number.is_finite() or not -MAX_PRICE <= number <= MAX_PRICE:
        return None, False
    if abs(int(number.as_tuple().exponent)) > MAX_DECIMALS:
        return None, False
    return number, value == format(number, "f") and not (number.is_zero() and number.is_signed())
