"""Turns Twilio's records into logs. Pure and fast; the fields are defined in `records`.

Each type names its fields one by one: nearly every field needs its own reading, and a loop over a table costs time.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from app.enums import LogType
from app.services.ingest.decoding import RECORD_TYPES, MalformedRecord, decode, encode_json
from app.services.ingest.field_values import (
    note,
    read_address,
    read_code,
    read_price,
    read_time,
    read_whole,
)
from app.services.ingest.records import CallRecord, ErrorRecord, MessageRecord, Record
from app.services.logs.defaults import MISSING, PARTS, call_defaults, message_defaults, parts_of
from app.services.logs.types import NormalizedLog
from app.services.twilio.alert_text import readable
from app.services.twilio.countries import country_of
from app.services.twilio.dates import parse_time
from app.services.twilio.error_codes import describe
from app.services.twilio.statuses import is_final

MAX_CLOCK_SKEW = timedelta(days=1)
"""Later times than this from now are invalid: no window would contain them, and no version would be newer."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier times are invalid: Twilio did not exist."""
SMALL_RECORD_BYTES = 2048
"""The fields of smaller records need no check of their length."""
MAX_SHORT_LENGTH = 512
"""Addresses, statuses and SIDs are shorter. A database index would reject much longer ones."""
PREFIXES = {LogType.CALL: ("CA",), LogType.MESSAGE: ("SM", "MM"), LogType.ERROR: ("NO",)}
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_SHORT_FIELDS = (
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
    fields, rest = decode(log_type, body)
    _check_sid(log_type, fields.sid)
    if len(body) > SMALL_RECORD_BYTES:
        _drop_long_values(fields, rest)
    log = _makers[log_type](fields, rest)
    latest = now + MAX_CLOCK_SKEW
    if not (
        EARLIEST < log.occurred_at <= latest
        and log.changed_at <= latest
        and log.updated_at <= latest
        and (log.sent_at is None or EARLIEST < log.sent_at <= latest)
    ):
        fields, rest = decode(log_type, body)
        _drop_long_values(fields, rest)
        _drop_implausible_times(fields, rest, latest)
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
    return msgspec.structs.replace(log, rest=encode_json(rest | {"body": None} if "body" in rest else rest))


def _check_sid(log_type: LogType, sid: str) -> None:
    if len(sid) != 34 or not sid.isascii() or not sid.isalnum() or not sid.startswith(PREFIXES[log_type]):
        raise MalformedRecord(f"the record's sid is not one of a {log_type}")


def _drop_long_values(fields: Record, rest: dict[str, Any]) -> None:
    for attribute, name in _SHORT_FIELDS:
        value = getattr(fields, attribute, None)
        if value is not None and len(value) > MAX_SHORT_LENGTH:
            note(rest, name, value, f"has {len(value)} characters")
            setattr(fields, attribute, None)


def _drop_implausible_times(fields: Record, rest: dict[str, Any], latest: datetime) -> None:
    for name in _TIMES:
        text = getattr(fields, name, None)
        at = parse_time(text) if text else None
        if at is not None and not EARLIEST < at <= latest:
            note(rest, name, text, f"is {at:%Y-%m-%d}, which is impossible")
            setattr(fields, name, None)


def _message(fields: MessageRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = read_time(fields, "date_updated", rest)
    sent = read_time(fields, "date_sent", rest)
    if sent is not None and fields.status in _PLANNED:
        rest["date_sent"], sent = fields.date_sent, None
    created = _created(read_time(fields, "date_created", rest), updated or sent)
    code = read_code(fields.error_code, "error_code", int, rest)
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
        from_=read_address(fields.from_, "from", rest),
        to=read_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        error_code=code,
        error_message=fields.error_message or (describe(code).message if code is not None else None),
        text=fields.body,
        price=read_price(fields.price, rest),
        price_unit=fields.price_unit,
        segments=read_whole(fields.num_segments, "num_segments", rest),
        messaging_service_sid=fields.messaging_service_sid,
        occurred_at=created,
        changed_at=changed,
        updated_at=changed,
        sent_at=sent,
        final=is_final(LogType.MESSAGE, fields.status),
        rest=encode_json(rest) if rest else None,
        content_hash=0,
        undated_at=created if updated is None else None,
    )


def _call(fields: CallRecord, rest: dict[str, Any]) -> NormalizedLog:
    updated = read_time(fields, "date_updated", rest)
    started = read_time(fields, "start_time", rest)
    ended = read_time(fields, "end_time", rest) if fields.end_time is not None else None
    created = _created(read_time(fields, "date_created", rest), updated or started or ended)
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
        from_=read_address(fields.from_, "from", rest),
        to=read_address(fields.to, "to", rest),
        to_country=country_of(fields.to),
        price=read_price(fields.price, rest),
        price_unit=fields.price_unit,
        duration_seconds=read_whole(fields.duration, "duration", rest),
        occurred_at=created,
        changed_at=created if changed is None or changed < created else changed,
        updated_at=created if last is None or last < created else last,
        sent_at=started,
        final=is_final(LogType.CALL, fields.status),
        rest=encode_json(rest) if rest else None,
        content_hash=0,
        undated_at=created if updated is None else None,
    )


def _error(fields: ErrorRecord, rest: dict[str, Any]) -> NormalizedLog:
    generated = read_time(fields, "date_generated", rest)
    created = read_time(fields, "date_created", rest)
    updated = read_time(fields, "date_updated", rest)
    occurred = _created(generated, created or updated)
    code = read_code(fields.error_code, "error_code", str, rest)
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
        rest=encode_json(rest),
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
    for shape in RECORD_TYPES.values()
}


def _created(created: datetime | None, other: datetime | None) -> datetime:
    """Return when a record was created; if that is missing or unreadable, another of its times."""
    if created is None and other is None:
        raise MalformedRecord("the record has no time that can be read")
    return created or other  # type: ignore[return-value]  # one of them is there
