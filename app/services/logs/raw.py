"""Rebuilds Twilio's JSON of a log from its columns, defaults and `rest`. Pure.

The names here are Twilio's, and differ by log type; the table of our fields does not know them.
"""

from typing import Any

import msgspec

from app.enums import LogType
from app.models import Log
from app.services.logs.defaults import MISSING, PARTS, UNREADABLE, call_defaults, message_defaults, parts_of
from app.services.twilio.dates import rfc2822


def raw_of(log: Log, account_sid: str) -> dict[str, Any]:
    """Return Twilio's latest record of a stored log."""
    rest: dict[str, Any] = msgspec.json.decode(log.rest) if log.rest else {}
    missing = rest.pop(MISSING, ())
    rest.pop(UNREADABLE, None)
    if (parts := rest.pop(PARTS, None)) is not None:
        rest["subresource_uris"] = parts_of(_home(log, account_sid), tuple(parts))
    raw = {"sid": log.sid, "account_sid": account_sid, **_FROM_COLUMNS[LogType(log.log_type)](log, account_sid), **rest}
    return {name: value for name, value in raw.items() if name not in missing}


def unreadable_of(log: Log) -> list[dict[str, str]]:
    """List the fields of Twilio's record that could not be read, with the reason. The log has null there."""
    rest: dict[str, Any] = msgspec.json.decode(log.rest) if log.rest else {}
    return [{"field": name, "reason": reason} for name, reason in rest.get(UNREADABLE, {}).items()]


def _home(log: Log, account_sid: str) -> str:
    kind = "Calls" if log.log_type == LogType.CALL else "Messages"
    return f"/2010-04-01/Accounts/{account_sid}/{kind}/{log.sid}"


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _shared(log: Log) -> dict[str, Any]:
    """Return the fields that calls and messages share."""
    return {
        "status": log.status,
        "direction": log.direction,
        "from": log.from_,
        "to": log.to_,
        "price": None if log.price is None else format(log.price, "f"),
        "price_unit": log.price_unit,
        "date_created": rfc2822(log.occurred_at),
        "date_updated": rfc2822(log.updated_at),
    }


def _message(log: Log, account_sid: str) -> dict[str, Any]:
    return {
        **message_defaults(account_sid, log.sid),
        **_shared(log),
        "body": log.text_,
        "error_code": log.error_code,
        "error_message": None,
        "num_segments": _text(log.segments),
        "messaging_service_sid": log.messaging_service_sid,
        "date_sent": None if log.sent_at is None else rfc2822(log.sent_at),
    }


def _call(log: Log, account_sid: str) -> dict[str, Any]:
    return {
        **call_defaults(account_sid, log.sid),
        **_shared(log),
        "duration": _text(log.duration_seconds),
        "start_time": None if log.sent_at is None else rfc2822(log.sent_at),
        "end_time": None,
    }


def _error(log: Log, account_sid: str) -> dict[str, Any]:  # noqa: ARG001  # as the others
    return {"resource_sid": log.resource_sid, "error_code": _text(log.error_code)}


_FROM_COLUMNS = {LogType.MESSAGE: _message, LogType.CALL: _call, LogType.ERROR: _error}
