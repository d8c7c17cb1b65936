"""Turns Twilio's records into logs. Pure and fast; the fields are defined in `records`."""

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
from app.services.logs.defaults import MISSING, OWN_KEYS, PARTS, UNREADABLE, call_defaults, message_defaults, parts_of
from app.services.logs.types import NormalizedLog
from app.services.twilio.alert_text import readable
from app.services.twilio.countries import country_of
from app.services.twilio.dates import parse_time
from app.services.twilio.error_codes import describe
from app.services.twilio.pages import prune_depth, repair_text
from app.services.twilio.statuses import is_final

MAX_CLOCK_SKEW = timedelta(days=1)
"""Later times than this from now are invalid: no window would contain them, and no version would be newer."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier times are invalid: Twilio did not exist."""
MAX_RECORD_BYTES = 1024 * 1024
LARGEST_FIELD_BYTES = 64 * 1024
"""In a record that is larger, fields larger than this are truncated."""
KEPT_FIELD_CHARACTERS = 1024
"""The length of a truncated field."""
SMALL_RECORD_BYTES = 2048
"""The fields of smaller records need no check of their length."""
MAX_NAME_LENGTH = 512
"""Addresses, statuses and SIDs are shorter. A database index would reject much longer ones."""
MAX_INT = 2**31 - 1
MAX_PRICE = Decimal(10) ** 12
MAX_DECIMALS = 20
PREFIXES = {LogType.CALL: ("CA",), LogType.MESSAGE: ("SM", "MM"), LogType.ERROR: ("NO",)}

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class MalformedRecord(Exception):
    """A record that cannot be read as a log. The message gives the reason without the record's content."""


class _Head(msgspec.Struct):
    sid: str


_heads = msgspec.json.Decoder(_Head)
_shapes: dict[LogType, type[Record]] = {
    LogType.CALL: CallRecord,
    LogType.MESSAGE: MessageRecord,
    LogType.ERROR: ErrorRecord,
}
_decoders = {log_type: msgspec.json.Decoder(shape) for log_type, shape in _shapes.items()}
_field_decoders = {
    log_type: {field.encode_name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(shape)}
    for log_type, shape in _shapes.items()
}
_ESSENTIAL = ("sid", "account_sid")
_NAMES = (
    ("status", "status"),
    ("direction", "direction"),
    ("from_", "from"),
    ("to", "to"),
    ("price_unit", "price_unit"),
    ("messaging_service_sid", "messaging_service_sid"),
    ("resource_sid", "resource_sid"),
    ("log_level", "log_level"),
)
"""Fields with short values, because of indexes here and closed lists at Twilio."""
_TIMES = ("date_generated", "date_created", "date_updated", "date_sent", "start_time", "end_time")
_PLANNED = frozenset({"scheduled", "canceled"})
"""For messages in these states, `date_sent` is the planned time, up to 35 days ahead."""
_encode = msgspec.json.Encoder().encode


def head(record: msgspec.Raw) -> tuple[str, int]:
    """Read a record's SID and the hash of its bytes: enough to see whether it is new.

    Raises: MalformedRecord.
    """
    try:
        sid = _heads.decode(record).sid
    except (msgspec.DecodeError, RecursionError):
        sid = _sid_of_broken(bytes(record))
    return sid, content_hash(record)


def _sid_of_broken(record: bytes) -> str:
    try:
        return _heads.decode(prune_depth(repair_text(record))).sid
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRecord("the record is no JSON object with a sid") from None


def content_hash(record: msgspec.Raw | bytes) -> int:
    """Hash a record's bytes to a signed 64-bit integer."""
    return int.from_bytes(blake2b(record, digest_size=8).digest(), "big", signed=True)


def normalize(log_type: LogType, record: msgspec.Raw, hashed: int, now: datetime) -> NormalizedLog:
    """Turn a record of Twilio into a log.

    Args:
        hashed: the hash from `head`.
        now: times much later than this are invalid.

    A field that cannot be read is null; its raw value is kept in `rest` with a note.

    Raises:  MalformedRecord if the SID, the account or every time is unreadable.
    """
    body = bytes(record)
    # Most records have no backslash, and searching for one byte is much faster than for six.
    if b"\\" in body and b"\\u0000" in body:
        # PostgreSQL's texts cannot store NUL.
        body = _NUL.sub(rb"\1\\ufffd", body)
    fields, rest = _decode(log_type, body)
    _check_sid(log_type, fields.sid)
    if len(body) > SMALL_RECORD_BYTES:
        _drop_long_names(fields, rest)
    log = _makers[log_type](fields, rest)
    latest = now + MAX_CLOCK_SKEW
    if not (
        EARLIEST < log.occurred_at <= latest
        and log.changed_at <= latest
        and log.updated_at <= latest
        and (log.sent_at is None or EARLIEST < log.sent_at <= latest)
    ):
        fields, rest = _decode(log_type, body)
        _drop_long_names(fields, rest)
        _drop_odd_times(fields, rest, latest)
        log = _makers[log_type](fields, rest)
    if log.undated_at is not None:
        log.undated_at = now
    log.content_hash = hashed
    return log


def without_body(log: NormalizedLog) -> NormalizedLog:
    """Drop an unreadable message body that was kept in `rest`: it would never be erased there."""
    if log.log_type != LogType.MESSAGE or log.rest is None or b'"body"' not in log.rest:
        return log
    rest = msgspec.json.decode(log.rest)
    return msgspec.structs.replace(log, rest=_encode(rest | {"body": None} if "body" in rest else rest))


def _decode(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Decode a record, and collect what its columns do not hold: unknown fields and unreadable ones."""
    if len(body) <= MAX_RECORD_BYTES:
        try:
            return _decoders[log_type].decode(body), {}
        except (msgspec.DecodeError, RecursionError):
            pass
        try:
            return _decode_with_unknown(log_type, body)
        except (msgspec.DecodeError, RecursionError):
            pass
    return _decode_by_field(log_type, body)


def _decode_with_unknown(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    whole = msgspec.json.decode(body, type=dict[str, Any])
    known = {name: value for name, value in whole.items() if name in _field_decoders[log_type]}
    fields = msgspec.convert(known, _shapes[log_type])
    return fields, {name: whole[name] for name in whole.keys() - known.keys() if name not in OWN_KEYS}


def _decode_by_field(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Decode each field separately, so that a malformed one affects only itself."""
    parts = _parts_of(body)
    decoders, is_large = _field_decoders[log_type], len(body) > MAX_RECORD_BYTES
    known: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, part in parts.items():
        if is_large and len(part) > LARGEST_FIELD_BYTES:
            _note(rest, name, _text_of(part)[:KEPT_FIELD_CHARACTERS], f"has {len(part)} bytes")
        elif name in decoders:
            _decode_known(decoders[name], name, part, known, rest)
        elif name not in OWN_KEYS:
            rest[name] = _any_value(part)
    if missing := [name for name in _ESSENTIAL if name in rest]:
        raise MalformedRecord(f"the record's {missing[0]} cannot be read")
    if len(_encode(rest)) > MAX_RECORD_BYTES:
        raise MalformedRecord(f"the record has {len(body)} bytes, more than {MAX_RECORD_BYTES}")
    return msgspec.convert(known, _shapes[log_type]), rest


def _parts_of(body: bytes) -> dict[str, msgspec.Raw]:
    for text in (body, prune_depth(repair_text(body))):
        try:
            return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            continue
    raise MalformedRecord("the record is no JSON object")


def _decode_known(
    decoder: msgspec.json.Decoder[Any], name: str, part: msgspec.Raw, known: dict[str, Any], rest: dict[str, Any]
) -> None:
    try:
        known[name] = decoder.decode(part)
    except (msgspec.DecodeError, RecursionError):
        _note(rest, name, _any_value(part), "is of another type")


def _any_value(part: msgspec.Raw) -> Any:
    """Return the value of a field; as text if no JSON value can hold it, such as 1e999."""
    try:
        value = msgspec.json.decode(part)
        _encode(value)
    except (msgspec.DecodeError, RecursionError, ValueError, OverflowError):
        return _text_of(part)
    return value


def _text_of(part: msgspec.Raw) -> str:
    return bytes(part).decode("utf-8", "replace")


def _note(rest: dict[str, Any], name: str, value: Any, reason: str) -> None:
    """Keep the raw value of an unreadable field, with the reason."""
    rest[name] = value
    rest.setdefault(UNREADABLE, {})[name] = reason


def _check_sid(log_type: LogType, sid: str) -> None:
    if len(sid) != 34 or not sid.isascii() or not sid.isalnum() or not sid.startswith(PREFIXES[log_type]):
        raise MalformedRecord(f"the record's sid is not one of a {log_type}")


def _drop_long_names(fields: Record, rest: dict[str, Any]) -> None:
    for attribute, name in _NAMES:
        value = getattr(fields, attribute, None)
        if value is not None and len(value) > MAX_NAME_LENGTH:
            _note(rest, name, value, f"has {len(value)} characters")
            setattr(fields, attribute, None)


def _drop_odd_times(fields: Record, rest: dict[str, Any], latest: datetime) -> None:
    for name in _TIMES:
        text = getattr(fields, name, None)
        at = _parsed(text) if text else None
        if at is not None and not EARLIEST < at <= latest:
            _note(rest, name, text, f"is {at:%Y-%m-%d}: that cannot be")
            setattr(fields, name, None)


def _message(fields: MessageRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = _time(fields, "date_updated", rest)
    sent = _time(fields, "date_sent", rest)
    if sent is not None and fields.status in _PLANNED:
        rest["date_sent"], sent = fields.date_sent, None
    created = _created(_time(fields, "date_created", rest), updated or sent)
    code = _code(fields.error_code, "error_code", int, rest)
    _keep_others(fields, message_defaults(fields.account_sid, fields.sid), rest)
    if fields.error_message is not None:
        rest["error_message"] = fields.error_message
    changed = updated
    if updated is None:
        rest.setdefault("date_updated", None)
        changed = sent
    changed = created if changed is None or changed < created else changed
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.MESSAGE,
        status=fields.status,
        direction=fields.direction,
        from_=_address(fields.from_, "from", rest),
        to=_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        error_code=code,
        error_message=fields.error_message or (describe(code).message if code is not None else None),
        text=fields.body,
        price=_price(fields.price, rest),
        price_unit=fields.price_unit,
        segments=_whole(fields.num_segments, "num_segments", rest),
        messaging_service_sid=fields.messaging_service_sid,
        occurred_at=created,
        changed_at=changed,
        updated_at=changed,
        sent_at=sent,
        final=is_final(LogType.MESSAGE, fields.status),
        rest=_encode(rest) if rest else None,
        content_hash=0,
        undated_at=created if updated is None else None,
    )


def _call(fields: CallRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = _time(fields, "date_updated", rest)
    started = _time(fields, "start_time", rest)
    ended = _time(fields, "end_time", rest) if fields.end_time is not None else None
    created = _created(_time(fields, "date_created", rest), updated or started or ended)
    _keep_others(fields, call_defaults(fields.account_sid, fields.sid), rest)
    if fields.end_time is not None:
        rest["end_time"] = fields.end_time
    if updated is None:
        rest.setdefault("date_updated", None)
    last = updated or ended or started
    changed = ended or last
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.CALL,
        status=fields.status,
        direction=fields.direction,
        from_=_address(fields.from_, "from", rest),
        to=_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        price=_price(fields.price, rest),
        price_unit=fields.price_unit,
        duration_seconds=_whole(fields.duration, "duration", rest),
        occurred_at=created,
        changed_at=created if changed is None or changed < created else changed,
        updated_at=created if last is None or last < created else last,
        sent_at=started,
        final=is_final(LogType.CALL, fields.status),
        rest=_encode(rest) if rest else None,
        content_hash=0,
        undated_at=created if updated is None else None,
    )


def _error(fields: ErrorRecord, rest: dict[str, Any]) -> NormalizedLog:
    generated = _time(fields, "date_generated", rest)
    created = _time(fields, "date_created", rest)
    updated = _time(fields, "date_updated", rest)
    occurred = _created(generated, created or updated)
    code = _code(fields.error_code, "error_code", str, rest)
    _keep_others(fields, {}, rest)
    for name in ("date_generated", "date_created", "date_updated", "alert_text", "log_level"):
        rest.setdefault(name, getattr(fields, name))
    if fields.resource_sid == "":
        rest["resource_sid"] = ""
    return NormalizedLog(
        sid=fields.sid,
        log_type=LogType.ERROR,
        level=(fields.log_level or (describe(code).level if code is not None else "error")).lower(),
        error_code=code,
        error_message=describe(code).message if code is not None else None,
        text=readable(fields.alert_text),
        resource_sid=fields.resource_sid or None,
        occurred_at=occurred,
        changed_at=occurred,
        updated_at=updated or occurred,
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
    """Keep the fields without a column unless they have their default value. Note missing fields."""
    for name in _others[type(fields)]:
        value = getattr(fields, name)
        if value is msgspec.UNSET:
            if name in defaults:
                rest.setdefault(MISSING, []).append(name)
        elif name not in defaults or value != defaults[name]:
            rest[name] = value
    parts = rest.get("subresource_uris")
    if isinstance(parts, dict) and parts == parts_of(str(defaults.get("uri")).removesuffix(".json"), tuple(parts)):
        # These URLs follow from the names.
        del rest["subresource_uris"]
        rest[PARTS] = list(parts)


_others = {
    shape: tuple(field.name for field in msgspec.structs.fields(shape) if field.default is msgspec.UNSET)
    for shape in _shapes.values()
}


def _time(fields: Record, name: str, rest: dict[str, Any]) -> datetime | None:
    """Read a time for a column. If its format is unusual, keep the raw value, too."""
    text: str | None = getattr(fields, name)
    if text is None:
        return None
    if len(text) != 31 or not text.endswith(" +0000"):
        rest[name] = text
    if not text:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        _note(rest, name, text, "is no time")
        return None


def _parsed(text: str) -> datetime | None:
    try:
        return parse_time(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _created(created: datetime | None, other: datetime | None) -> datetime:
    """Return when a record was created; if that is missing or unreadable, another of its times."""
    if created is None and other is None:
        raise MalformedRecord("the record has no time that can be read")
    return created or other  # type: ignore[return-value]  # one of them is there


def _address(address: str | None, name: str, rest: dict[str, Any]) -> str | None:
    """Return an address; None if it is empty."""
    if address == "":
        rest[name] = ""
    return address or None


def _code(value: Number, name: str, usual: type, rest: dict[str, Any]) -> int | None:
    """Read an error code: an integer, digits, an empty text or null."""
    if value is None:
        return None
    if type(value) is not usual:
        rest[name] = value
    if value == "":
        rest[name] = value
        return None
    code = _int(value)
    if code is None:
        _note(rest, name, value, "is no whole number from 0 on")
    return code


def _whole(value: Number, name: str, rest: dict[str, Any]) -> int | None:
    """Read a whole number, which Twilio sends as a text."""
    if value is None:
        return None
    if value == "":
        rest[name] = value
        return None
    number = _int(value)
    if number is None:
        _note(rest, name, value, "is no whole number from 0 on")
    elif value != str(number):
        rest[name] = value
    return number


@lru_cache(maxsize=8192)
def _int(value: float | str) -> int | None:
    """Read a whole number in any notation, such as `7`, `"7"` or `"7.0"`; None if it cannot be stored."""
    try:
        exact = int(value) if isinstance(value, str) and value.isdecimal() else Decimal(value)
        number = int(exact)
    except (ValueError, OverflowError, InvalidOperation):
        return None
    return number if exact == number and 0 <= number <= MAX_INT else None


def _price(value: Number, rest: dict[str, Any]) -> Decimal | None:
    """Read a price, which Twilio sends as a text. All digits count."""
    if value is None:
        return None
    number, usual = _decimal(value)
    if number is None and value != "":
        _note(rest, "price", value, "is no price")
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
    if not number.is_finite() or abs(number) > MAX_PRICE or number.as_tuple().exponent < -MAX_DECIMALS:  # type: ignore[operator]  # finite
        return None, False
    return number, value == format(number, "f") and not (number.is_zero() and number.is_signed())
