"""Twilio's callbacks as values: status callbacks, the Debugger's webhook, and Event Streams. Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from app.enums import LogType
from app.services.twilio.dates import parse_time
from app.services.twilio.pages import prune_depth, repair_text
from app.utils.digits import read_digits

MESSAGE_SID, CALL_SID, ERROR_SID = (re.compile(f"{kind}[0-9A-Za-z]{{32}}") for kind in ("[SM]M", "CA", "NO"))
MAX_STATUS_LENGTH = 64
MESSAGE_EVENTS = ("com.twilio.messaging.message.", "com.twilio.messaging.inbound-message.")
CALL_EVENTS = ("com.twilio.voice.status-callback.call.", "com.twilio.voice.webhook.status-callback.call.")
ERROR_EVENT = "com.twilio.error-logs.error.logged"
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
CALL_STATUSES = {"initiated": "queued", "answered": "in-progress"}
"""Statuses that callbacks and the REST API name differently."""


@dataclass(frozen=True)
class Push:
    """One fact in a callback: a status of a log, or an error entry."""

    account_sid: str
    log_type: LogType
    sid: str
    payload: Mapping[str, Any]
    """For a call or message: `status`, `error_code`, `at`, `duration`. For an error: its record, as in a list.
    JSON values, never a body.
    """


def read_status(fields: Mapping[str, str]) -> Push | None:
    """Parse a status callback of a message or call; None if it is neither."""
    account_sid = fields.get("AccountSid", "")
    message_sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    if MESSAGE_SID.fullmatch(message_sid):
        status = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
        return _status(account_sid, LogType.MESSAGE, message_sid, status, fields.get("ErrorCode"), None, None)
    call_sid = fields.get("CallSid", "")
    if CALL_SID.fullmatch(call_sid):
        at, duration = fields.get("Timestamp"), fields.get("CallDuration")
        return _status(account_sid, LogType.CALL, call_sid, fields.get("CallStatus", ""), None, at, duration)
    return None


def read_error(fields: Mapping[str, str]) -> Push | None:
    """Parse a request of the Debugger's webhook; None if it is no entry."""
    sid = fields.get("Sid", "")
    if not ERROR_SID.fullmatch(sid):
        return None
    payload = _object(fields.get("Payload"))
    return _error(fields.get("AccountSid", ""), sid, fields.get("Level", "ERROR"), fields.get("Timestamp"), payload)


def read_events(body: bytes) -> list[Push] | None:
    """Parse events of Event Streams: an array or a single one. None if the body is neither.

    Events of other types and malformed events are skipped: otherwise Twilio would drop the valid ones with them.
    """
    decoded = _decode(body)
    if decoded is None:
        decoded = _decode_each(body)
    if not isinstance(decoded, (dict, list)):
        return None
    events = decoded if isinstance(decoded, list) else [decoded]
    return [push for event in events if isinstance(event, dict) and (push := _event(event)) is not None]


def _decode(body: bytes) -> object:
    """Decode JSON. Invalid characters and excessive depth affect only their own values. None if it is not JSON."""
    with suppress(*BROKEN):
        return msgspec.json.decode(body)
    with suppress(*BROKEN):
        return msgspec.json.decode(prune_depth(repair_text(body)))
    return None


def _decode_each(body: bytes) -> list[object] | None:
    """Decode the items of an array apart; None for an item that is no JSON to us, such as one with the number 1e999."""
    with suppress(*BROKEN):
        items = msgspec.json.decode(prune_depth(repair_text(body)), type=list[msgspec.Raw])
        return [_decode(bytes(item)) for item in items]
    return None


def _event(event: dict[str, Any]) -> Push | None:
    kind, data = event.get("type"), event.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        return None
    at = _text(data.get("timestamp")) or _text(event.get("time"))
    if kind == ERROR_EVENT:
        payload = {"error_code": data.get("error_code")} | _object(data.get("payload"))
        sid, when = _text(data.get("sid")) or "", _text(data.get("date_created")) or _text(event.get("time"))
        level = _text(data.get("level")) or "ERROR"
        return (
            _error(_text(data.get("account_sid")) or "", sid, level, when, payload)
            if ERROR_SID.fullmatch(sid)
            else None
        )
    if kind.startswith(MESSAGE_EVENTS):
        sid = _text(data.get("messageSid")) or ""
        status = _text(data.get("messageStatus")) or kind.rpartition(".")[2]
        account_sid, code = _text(data.get("accountSid")) or "", data.get("errorCode")
        return (
            _status(account_sid, LogType.MESSAGE, sid, status, code, at, None) if MESSAGE_SID.fullmatch(sid) else None
        )
    if kind.startswith(CALL_EVENTS):
        return read_status(_callback_of(data))
    return None


def _callback_of(data: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the status callback that a call's event repeats."""
    request = data.get("request")
    parameters = request.get("parameters") if isinstance(request, dict) else data
    if isinstance(parameters, str):
        return dict(parse_qsl(parameters, keep_blank_values=True))
    return {name: _text(value) or "" for name, value in parameters.items()} if isinstance(parameters, dict) else {}


def _status(
    account_sid: str, log_type: LogType, sid: str, status: str, code: object, at: str | None, duration: object
) -> Push:
    named = status.lower()[:MAX_STATUS_LENGTH]
    record = {
        "status": CALL_STATUSES.get(named, named) if log_type == LogType.CALL else named,
        "error_code": _int(code),
        "at": _time(at),
        "duration": _int(duration),
    }
    return Push(account_sid, log_type, sid, record)


def _error(account_sid: str, sid: str, level: str, timestamp: str | None, payload: Mapping[str, Any]) -> Push:
    """Build the record that the error log will list, as far as it is known."""
    more = payload.get("more_info")
    webhook = payload.get("webhook")
    request = webhook.get("request") if isinstance(webhook, dict) else None
    request = request if isinstance(request, dict) else {}
    at = _time(timestamp)
    record = {
        "sid": sid,
        "account_sid": account_sid,
        "resource_sid": _text(payload.get("resource_sid")),
        "service_sid": _text(payload.get("service_sid")),
        "error_code": _text(payload.get("error_code")),
        "log_level": level.lower(),
        "alert_text": urlencode({name: str(value) for name, value in more.items()}) if isinstance(more, dict) else None,
        "request_method": _text(request.get("method")),
        "request_url": _text(request.get("url")),
        "date_generated": at,
        "date_created": at,
        "date_updated": at,
    }
    return Push(account_sid, LogType.ERROR, sid, record)


def _object(text: object) -> dict[str, Any]:
    """Decode JSON from a text; an object is returned as it is."""
    if isinstance(text, dict):
        return text
    decoded = _decode(text.encode("utf-8", "replace")) if isinstance(text, str) else None
    return decoded if isinstance(decoded, dict) else {}


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def _int(value: object) -> int | None:
    return read_digits(_text(value) or "")


def _time(text: str | None) -> str | None:
    """Format a time as ISO 8601 in whole seconds, as lists do; None if it cannot be read."""
    at = parse_time(text) if text else None
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z") if at else None
