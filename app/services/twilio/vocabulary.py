"""Twilio's vocabulary in logs and the countries of phone numbers: finds values that no log can have.

Countries are a closed list: another one is an error. Twilio adds statuses, directions and codes without notice: an
unknown one only gets a warning. Messages never repeat the value. Pure.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from app.enums import LogType
from app.errors import FieldError
from app.services.twilio import error_codes
from app.services.twilio.countries import NOWHERE
from app.services.twilio.country_names import country_meant
from app.services.twilio.statuses import CALL_RANKS, MESSAGE_RANKS
from app.utils.digits import read_digits

COUNTRIES = frozenset(region for regions in COUNTRY_CODE_TO_REGION_CODE.values() for region in regions) - {NOWHERE}

STATUSES: Mapping[str, Collection[str]] = {LogType.CALL: CALL_RANKS, LogType.MESSAGE: MESSAGE_RANKS}
"""Known statuses by log type."""
# Source: Twilio's API reference, the property `direction` of the Call and the Message resource.
DIRECTIONS: Mapping[str, Collection[str]] = {
    LogType.CALL: ("inbound", "outbound-api", "outbound-dial", "trunking-originating", "trunking-terminating"),
    LogType.MESSAGE: ("inbound", "outbound-api", "outbound-call", "outbound-reply"),
}
"""Known directions by log type."""

_CALLS_AND_MESSAGES = frozenset({LogType.CALL, LogType.MESSAGE})
CARRIED_BY: Mapping[str, Collection[str]] = {
    "status": _CALLS_AND_MESSAGES,
    "direction": _CALLS_AND_MESSAGES,
    "from": _CALLS_AND_MESSAGES,
    "to": _CALLS_AND_MESSAGES,
    "to_country": _CALLS_AND_MESSAGES,
    "price": _CALLS_AND_MESSAGES,
    "price_unit": _CALLS_AND_MESSAGES,
    "level": {LogType.ERROR},
    "messaging_service_sid": {LogType.MESSAGE},
    "segments": {LogType.MESSAGE},
    "duration_seconds": {LogType.CALL},
}
"""The log types that have a field; fields that are not listed belong to all."""
_PLURAL = {LogType.CALL: "calls", LogType.MESSAGE: "messages", LogType.ERROR: "entries of the error log"}

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DIGITS_ALONE = re.compile(r"[0-9]{7,15}")
_PART = re.compile(r"\+[0-9]*|[0-9]{1,2}|[0-9() ./+-]*[*%?][0-9() ./+*%?-]*")
"""A beginning of a number, perhaps with a wildcard."""
_PUNCTUATED = re.compile(r"\+?[0-9() ./-]{7,30}")


def log_types_of(log_type: str) -> frozenset[str]:
    """Return the log types that a rule's `log_type` covers."""
    return frozenset(LogType) if log_type == "any" else frozenset({log_type})


def country_error(value: str) -> str | None:
    """Return why a value in capitals is no country of phone numbers, or None."""
    if value in COUNTRIES:
        return None
    return "is not a country of phone numbers in ISO 3166 alpha-2" + _hint(country_meant(value))


def field_warning(field: str, log_types: Collection[str]) -> str | None:
    """Return why a field is empty in all logs of these types, or None."""
    carriers = CARRIED_BY.get(field)
    if carriers is None or set(log_types) & set(carriers):
        return None
    return f"{_named(log_types)} have no {field}: nothing matches"


def value_warning(field: str, value: str | int, log_types: Collection[str]) -> str | None:
    """Return why logs of these types may never have this value in a field, or None."""
    if (why := field_warning(field, log_types)) is not None:
        return why
    check = _CHECKS.get(field)
    return None if check is None else check(str(value), log_types)


def value_warnings(
    path: str, field: str, values: Collection[str | int], log_types: Collection[str]
) -> Iterator[FieldError]:
    """Yield warnings about values that a field is compared with.

    Args:    path: the name of the field in the warnings.
    """
    if values and (why := field_warning(field, log_types)) is not None:
        yield FieldError(path, why)
        return
    for number, value in enumerate(values, start=1):
        if (why := value_warning(field, value, log_types)) is not None:
            yield FieldError(path, why if len(values) == 1 else f"item {number}: {why}")


def _status(value: str, log_types: Collection[str]) -> str | None:
    return _word("status", STATUSES, value, log_types)


def _direction(value: str, log_types: Collection[str]) -> str | None:
    return _word("direction", DIRECTIONS, value, log_types)


def _word(field: str, words: Mapping[str, Collection[str]], value: str, log_types: Collection[str]) -> str | None:
    known = sorted({word for log_type in log_types for word in words.get(log_type, ())})
    if value in known:
        return None
    if any(value in others for others in words.values()):
        return f"{_named(log_types)} are not known to have this {field}: they have {', '.join(known)}"
    return f"is not a {field} that Twilio is known to use" + _hint(_similar(value, known))


def _similar(value: str, known: Collection[str]) -> str | None:
    return next(iter(get_close_matches(value.lower().replace(" ", "-"), known, 1)), None)


def _log_type(value: str, log_types: Collection[str]) -> str | None:
    if value in log_types:
        return None
    if value in set(LogType):
        return f"only {_named(log_types)} are looked at: nothing else matches"
    return "is not a type of log: they are call, message, error" + _hint(_similar(value, list(LogType)))


def _currency(value: str, _log_types: Collection[str]) -> str | None:
    if re.fullmatch("[A-Z]{3}", value):
        return None
    meant = value.strip().upper()
    return "is not a currency in ISO 4217, such as USD" + _hint(meant if re.fullmatch("[A-Z]{3}", meant) else None)


def _code(value: str, _log_types: Collection[str]) -> str | None:
    code = read_digits(value)
    return None if code is None or error_codes.any_known(code, code) else "is not in Twilio's catalogue of error codes"


def _country(value: str, _log_types: Collection[str]) -> str | None:
    return country_error(value)


def _level(value: str, _log_types: Collection[str]) -> str | None:
    known = ("error", "warning", "notice", "debug")
    return None if value in known else f"is not a level: they are {', '.join(known)}{_hint(_similar(value, known))}"


def _address(value: str, _log_types: Collection[str]) -> str | None:
    number = value.rpartition(":")[2]
    if _E164.fullmatch(number):
        return None
    if _DIGITS_ALONE.fullmatch(number):
        return "has no plus: Twilio writes phone numbers like +14155550100"
    if _PUNCTUATED.fullmatch(number):
        return "is punctuated: Twilio writes phone numbers like +14155550100"
    if _PART.fullmatch(number):
        return "is not a complete phone number, and values are compared whole; to_country and q look for a part"
    return None


def _sid(prefix: str, what: str) -> Callable[[str, Collection[str]], str | None]:
    form = re.compile(prefix + "[0-9a-f]{32}")
    wanted = f"is not a sid of {what}: those are {prefix} and 32 hexadecimal digits in lower case"
    return lambda value, _log_types: None if form.fullmatch(value) else wanted


_CHECKS: Mapping[str, Callable[[str, Collection[str]], str | None]] = {
    "log_type": _log_type,
    "status": _status,
    "direction": _direction,
    "level": _level,
    "error_code": _code,
    "to_country": _country,
    "price_unit": _currency,
    "from": _address,
    "to": _address,
    "account_sid": _sid("AC", "an account"),
    "messaging_service_sid": _sid("MG", "a messaging service"),
}


def _named(log_types: Iterable[str]) -> str:
    return " and ".join(_PLURAL[each] for each in LogType if each in set(log_types))


def _hint(meant: str | None) -> str:
    return "" if meant is None else f"; did you mean {meant}?"
