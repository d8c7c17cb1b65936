"""Decodes Twilio's records. A malformed or oversized field affects only itself. Pure."""

from hashlib import blake2b
from typing import Any

import msgspec

from app.enums import LogType
from app.services.ingest.field_values import note
from app.services.ingest.records import CallRecord, ErrorRecord, MessageRecord, Record
from app.services.logs.defaults import OWN_KEYS
from app.services.twilio.pages import prune_depth, repair_text

MAX_RECORD_BYTES = 1024 * 1024
LARGEST_FIELD_BYTES = 64 * 1024
"""In a record larger than MAX_RECORD_BYTES, fields larger than this are truncated."""
KEPT_FIELD_CHARACTERS = 1024
"""The length of a truncated field."""


class MalformedRecord(Exception):
    """A record that cannot be read as a log. The message gives the reason without the record's content."""


class _Head(msgspec.Struct):
    sid: str


_heads = msgspec.json.Decoder(_Head)
RECORD_TYPES: dict[LogType, type[Record]] = {
    LogType.CALL: CallRecord,
    LogType.MESSAGE: MessageRecord,
    LogType.ERROR: ErrorRecord,
}
_decoders = {log_type: msgspec.json.Decoder(shape) for log_type, shape in RECORD_TYPES.items()}
_field_decoders = {
    log_type: {field.encode_name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(shape)}
    for log_type, shape in RECORD_TYPES.items()
}
_ESSENTIAL = ("sid", "account_sid")
encode_json = msgspec.json.Encoder().encode


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


def decode(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Decode a record, and collect what its columns do not hold: unknown fields and unreadable ones.

    Raises: MalformedRecord.
    """
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
    fields = msgspec.convert(known, RECORD_TYPES[log_type])
    return fields, {name: whole[name] for name in whole.keys() - known.keys() if name not in OWN_KEYS}


def _decode_by_field(log_type: LogType, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Decode each field separately, so that a malformed one affects only itself."""
    parts = _parts_of(body)
    decoders, is_large = _field_decoders[log_type], len(body) > MAX_RECORD_BYTES
    known: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, part in parts.items():
        if is_large and len(part) > LARGEST_FIELD_BYTES:
            note(rest, name, _text_of(part)[:KEPT_FIELD_CHARACTERS], f"has {len(part)} bytes")
        elif name in decoders:
            _decode_known(decoders[name], name, part, known, rest)
        elif name not in OWN_KEYS:
            rest[name] = _any_value(part)
    if missing := [name for name in _ESSENTIAL if name in rest]:
        raise MalformedRecord(f"the record's {missing[0]} cannot be read")
    if len(encode_json(rest)) > MAX_RECORD_BYTES:
        raise MalformedRecord(f"the record has {len(body)} bytes, more than {MAX_RECORD_BYTES}")
    return msgspec.convert(known, RECORD_TYPES[log_type]), rest


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
        note(rest, name, _any_value(part), "is of another type")


def _any_value(part: msgspec.Raw) -> Any:
    """Return the value of a field; as text if no JSON value can hold it, such as 1e999."""
    try:
        value = msgspec.json.decode(part)
        encode_json(value)
    except (msgspec.DecodeError, RecursionError, ValueError, OverflowError):
        return _text_of(part)
    return value


def _text_of(part: msgspec.Raw) -> str:
    return bytes(part).decode("utf-8", "replace")
