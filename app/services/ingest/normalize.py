"""Twilio's words into ours: one record in, one log out. Pure, driven by the shapes in `records`, and fast."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from app.enums import LogType
from app.services.ingest.records import CallRecord, ErrorRecord, MessageRecord, Number, Record
from app.services.logs.defaults import MISSING, PARTS, call_defaults, message_defaults, parts_of
from app.services.logs.types import NormalizedLog
from app.services.twilio.alert_text import readable
from app.services.twilio.countries import country_of
from app.services.twilio.dates import parse_time
from app.services.twilio.error_codes import describe
from app.services.twilio.statuses import is_final

FARTHEST_AHEAD = timedelta(days=1)
"""A log that claims a time later than this from now is odd: no window would ever hold it, no version be newer."""
FARTHEST_BACK = datetime(2000, 1, 1, tzinfo=UTC)
"""So is one from before: Twilio was not there yet."""
LARGEST_RECORD_BYTES = 1024 * 1024
SMALL_RECORD_BYTES = 2048
"""A record no larger than this needs no look at the length of its fields."""
LONGEST_NAME = 512
"""Addresses, statuses and sids of whatever kind are shorter; an index of the database would refuse far longer ones."""
LARGEST_INT = 2**31 - 1
LARGEST_PRICE = Decimal(10) ** 12
MOST_DECIMALS = 20
PREFIXES = {LogType.CALL: ("CA",), LogType.MESSAGE: ("SM", "MM"), LogType.ERROR: ("NO",)}

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class MalformedRecord(Exception):
    """A record of so odd a shape that it is no log; the message says why, without what is in it."""


class _Head(msgspec.Struct):
    sid: str


_heads = msgspec.json.Decoder(_Head)
_shapes: dict[LogType, type[Record]] = {
    LogType.CALL: CallRecord,
    LogType.MESSAGE: MessageRecord,
    LogType.ERROR: ErrorRecord,
}
_decoders = {log_type: msgspec.json.Decoder(shape) for log_type, shape in _shapes.items()}
_names = {
    log_type: frozenset(field.encode_name for field in msgspec.structs.fields(shape))
    for log_type, shape in _shapes.items()
}
_encode = msgspec.json.Encoder().encode


def head(record: msgspec.Raw) -> tuple[str, int]:
    """Read as much as is needed to see whether a record is new: its sid and the hash of its bytes.

    Raises: MalformedRecord.
    """
    try:
        sid = _heads.decode(record).sid
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRecord("the record is no JSON object with a sid") from None
    return sid, content_hash(record)


def content_hash(record: msgspec.Raw | bytes) -> int:
    """Hash a record's bytes to a signed integer of 64 bits."""
    return int.from_bytes(blake2b(record, digest_size=8).digest(), "big", signed=True)


def normalize(log_type: LogType, record: msgspec.Raw, hashed: int, now: datetime) -> NormalizedLog:
    """Turn a record of Twilio into a log.

    Args:
        hashed: what `head` said of it.
        now: what is created much later than this is odd.
    Raises:  MalformedRecord where it is no log: wrong types, no usable sid, a time or number out of range.
    """
    body = bytes(record)
    # Most records have no backslash, and one byte is found far faster than six.
    if b"\\" in body and b"\\u0000" in body:
        # PostgreSQL's texts cannot hold it.
        body = _NUL.sub(rb"\1\\ufffd", body)
    fields, extras = _decode(log_type, body)
    _check_sid(log_type, fields.sid)
    if len(body) > SMALL_RECORD_BYTES:
        _check_lengths(fields, len(body))
    try:
        log = _makers[log_type](fields, extras)
    except (ValueError, OverflowError, TypeError, IndexError):
        raise MalformedRecord("a time of the record cannot be read") from None
    latest = now + FARTHEST_AHEAD
    last = max(log.occurred_at, log.changed_at, log.updated_at, log.sent_at or log.occurred_at)
    if last > latest or log.occurred_at <= FARTHEST_BACK:
        odd = last if last > latest else log.occurred_at
        raise MalformedRecord(f"the record claims to be of {odd:%Y-%m-%d}: that cannot be")
    log.content_hash = hashed
    return log


def _decode(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Decode a record into its shape, and the fields that the shape does not know beside it."""
    try:
        return _decoders[log_type].decode(body), {}
    except msgspec.DecodeError:
        pass
    except RecursionError:
        raise MalformedRecord("the record is nested too deep") from None
    try:
        whole = msgspec.json.decode(body, type=dict[str, Any])
        known = {name: value for name, value in whole.items() if name in _names[log_type]}
        return msgspec.convert(known, _shapes[log_type]), {name: whole[name] for name in whole.keys() - known.keys()}
    except msgspec.DecodeError as error:
        raise MalformedRecord(f"the record has another shape: {error}") from None


def _check_sid(log_type: LogType, sid: str) -> None:
    if len(sid) != 34 or not sid.isascii() or not sid.isalnum() or not sid.startswith(PREFIXES[log_type]):
        raise MalformedRecord(f"the record's sid is not one of a {log_type}")


def _check_lengths(fields: Record, size: int) -> None:
    if size > LARGEST_RECORD_BYTES:
        raise MalformedRecord(f"the record has {size} bytes, more than {LARGEST_RECORD_BYTES}")
    for name in (
        "status",
        "direction",
        "from_",
        "to",
        "price_unit",
        "messaging_service_sid",
        "resource_sid",
        "log_level",
    ):
        value = getattr(fields, name, None)
        if value is not None and len(value) > LONGEST_NAME:
            raise MalformedRecord(f"the record's {name.rstrip('_')} has {len(value)} characters")


def _message(fields: MessageRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = _time(fields, "date_updated", rest)
    sent = _time(fields, "date_sent", rest)
    created = _created(_time(fields, "date_created", rest), updated)
    code = _code(fields.error_code, "error_code", int, rest)
    _keep_others(fields, message_defaults(fields.account_sid, fields.sid), rest)
    if fields.error_message is not None:
        rest["error_message"] = fields.error_message
    if updated is None:
        rest["date_updated"] = None
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.MESSAGE,
        status=fields.status,
        level=None,
        direction=fields.direction,
        from_=_address(fields.from_, "from", rest),
        to=_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        error_code=code,
        error_message=fields.error_message or (describe(code).message if code is not None else None),
        text=fields.body,
        price=_price(fields.price, rest),
        price_unit=fields.price_unit,
        duration_seconds=None,
        segments=_whole(fields.num_segments, "num_segments", rest),
        messaging_service_sid=fields.messaging_service_sid,
        resource_sid=None,
        occurred_at=created,
        changed_at=updated or created,
        updated_at=updated or created,
        sent_at=sent,
        final=is_final(LogType.MESSAGE, fields.status),
        rest=_encode(rest) if rest else None,
        content_hash=0,
    )


def _call(fields: CallRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = _time(fields, "date_updated", rest)
    started = _time(fields, "start_time", rest)
    ended = None if fields.end_time is None else parse_time(fields.end_time)
    created = _created(_time(fields, "date_created", rest), updated or started)
    _keep_others(fields, call_defaults(fields.account_sid, fields.sid), rest)
    if fields.end_time is not None:
        rest["end_time"] = fields.end_time
    if updated is None:
        rest["date_updated"] = None
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.CALL,
        status=fields.status,
        level=None,
        direction=fields.direction,
        from_=_address(fields.from_, "from", rest),
        to=_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        error_code=None,
        error_message=None,
        text=None,
        price=_price(fields.price, rest),
        price_unit=fields.price_unit,
        duration_seconds=_whole(fields.duration, "duration", rest),
        segments=None,
        messaging_service_sid=None,
        resource_sid=None,
        occurred_at=created,
        changed_at=ended or updated or created,
        updated_at=updated or created,
        sent_at=started,
        final=is_final(LogType.CALL, fields.status),
        rest=_encode(rest) if rest else None,
        content_hash=0,
    )


def _error(fields: ErrorRecord, rest: dict[str, Any]) -> NormalizedLog:
    generated, created = (
        None if text is None else parse_time(text) for text in (fields.date_generated, fields.date_created)
    )
    occurred = _created(generated, created)
    updated = parse_time(fields.date_updated) if fields.date_updated else occurred
    code = _code(fields.error_code, "error_code", str, rest)
    _keep_others(fields, {}, rest)
    for name in ("date_generated", "date_created", "date_updated", "alert_text", "log_level"):
        rest[name] = getattr(fields, name)
    if fields.resource_sid == "":
        rest["resource_sid"] = ""
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.ERROR,
        status=None,
        level=(fields.log_level or (describe(code).level if code is not None else "error")).lower(),
        direction=None,
        from_=None,
        to=None,
        to_country=None,
        error_code=code,
        error_message=describe(code).message if code is not None else None,
        text=readable(fields.alert_text),
        price=None,
        price_unit=None,
        duration_seconds=None,
        segments=None,
        messaging_service_sid=None,
        resource_sid=fields.resource_sid or None,
        occurred_at=occurred,
        changed_at=occurred,
        updated_at=updated,
        sent_at=None,
        final=True,
        rest=_encode(rest),
        content_hash=0,
    )


_makers: dict[LogType, Callable[[Any, dict[str, Any]], NormalizedLog]] = {
    LogType.CALL: _call,
    LogType.MESSAGE: _message,
    LogType.ERROR: _error,
}


def _keep_others(fields: Record, defaults: dict[str, Any], rest: dict[str, Any]) -> None:
    """Keep the fields that no column holds, where they are not what they always are; note which are missing."""
    for name in _others[type(fields)]:
        value = getattr(fields, name)
        if value is msgspec.UNSET:
            if name in defaults:
                rest.setdefault(MISSING, []).append(name)
        elif name not in defaults or value != defaults[name]:
            rest[name] = value
    parts = rest.get("subresource_uris")
    if isinstance(parts, dict) and parts == parts_of(str(defaults.get("uri")).removesuffix(".json"), tuple(parts)):
        # Their addresses follow from their names.
        del rest["subresource_uris"]
        rest[PARTS] = list(parts)


_others = {
    shape: tuple(field.name for field in msgspec.structs.fields(shape) if field.default is msgspec.UNSET)
    for shape in _shapes.values()
}


def _time(fields: Record, name: str, rest: dict[str, Any]) -> datetime | None:
    """Read a time that a column holds; one that is written in another way than usual is kept as it came, too."""
    text: str | None = getattr(fields, name)
    if text is None:
        return None
    if len(text) != 31 or not text.endswith(" +0000"):
        rest[name] = text
    return parse_time(text) if text else None


def _created(created: datetime | None, other: datetime | None) -> datetime:
    """Say when a record was created. Twilio leaves that out only in the answer to the creation itself."""
    if created is None and other is None:
        raise MalformedRecord("the record has no time at all")
    return created or other  # type: ignore[return-value]  # one of them is there


def _address(address: str | None, name: str, rest: dict[str, Any]) -> str | None:
    """Give an address; an empty one is none."""
    if address == "":
        rest[name] = ""
    return address or None


def _code(value: Number, name: str, usual: type, rest: dict[str, Any]) -> int | None:
    """Read an error code: an integer, a text of digits, an empty text or nothing."""
    if value is None:
        return None
    if type(value) is not usual:
        rest[name] = value
    if value == "":
        rest[name] = value
        return None
    return _int(value, name)


def _whole(value: Number, name: str, rest: dict[str, Any]) -> int | None:
    """Read a whole number, which Twilio writes as a text."""
    if value is None:
        return None
    if value == "":
        rest[name] = value
        return None
    number = _int(value, name)
    if value != str(number):
        rest[name] = value
    return number


@lru_cache(maxsize=8192)
def _int(value: float | str, name: str) -> int:
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise MalformedRecord(f"the record's {name} is no whole number") from None
    if not 0 <= number <= LARGEST_INT or (isinstance(value, float) and value != number):
        raise MalformedRecord(f"the record's {name} is out of range")
    return number


def _price(value: Number, rest: dict[str, Any]) -> Decimal | None:
    """Read a price, which Twilio writes as a text; all its digits count."""
    if value is None:
        return None
    number, usual = _decimal(value)
    if not usual:
        rest["price"] = value
    return number


@lru_cache(maxsize=8192)
def _decimal(value: float | str) -> tuple[Decimal | None, bool]:
    """Return a number, and whether it is written as we would write it."""
    if value == "":
        return None, False
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise MalformedRecord("the record's price is no number") from None
    if not number.is_finite() or abs(number) > LARGEST_PRICE or number.as_tuple().exponent < -MOST_DECIMALS:  # type: ignore[operator]  # finite
        raise MalformedRecord("the record's price is out of range")
    return number, value == format(number, "f") and not (number.is_zero() and number.is_signed())
