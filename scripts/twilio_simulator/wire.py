"""The wire format of Twilio's records: every field, with Twilio's types and date formats."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from typing import Any
from urllib.parse import urlencode

from scripts.twilio_simulator.accounts import Account
from scripts.twilio_simulator.http import json_bytes

Fields = dict[str, Any]
"""A record by its wire names; times are aware datetimes until they are encoded."""


class Kind(Enum):
    """The kinds of records, with Twilio's names."""

    CALL = ("call", "Calls", "calls", "CA")
    MESSAGE = ("message", "Messages", "messages", "SM")
    ERROR = ("error", "Alerts", "alerts", "NO")

    def __init__(self, log_type: str, resource: str, key: str, prefix: str) -> None:
        """Store GiftPulse's log type, the path's name, the list's key, and the prefix of SIDs."""
        self.log_type, self.resource, self.key, self.prefix = log_type, resource, key, prefix


PARTS = {
    Kind.CALL: ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions"),
    Kind.MESSAGE: ("media", "feedback"),
}
"""The subresources of a call and of a message."""
DETAIL_ONLY = ("request_variables", "request_headers", "response_headers", "response_body")
"""Fields of an alert that are returned only for reads by its SID."""


def rfc2822(at: datetime) -> str:
    """Format a time as the 2010 API does: `Tue, 03 Mar 2026 09:14:02 +0000`."""
    return format_datetime(at.astimezone(UTC).replace(microsecond=0))


def iso8601(at: datetime) -> str:
    """Format a time as the newer APIs do: `2026-03-03T09:14:05Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(kind: Kind, fields: Mapping[str, Any]) -> bytes:
    """Encode a record as JSON with its links and its API's format of times."""
    write = iso8601 if kind is Kind.ERROR else rfc2822
    record = {name: write(value) if isinstance(value, datetime) else value for name, value in fields.items()}
    whole = record if kind is Kind.ERROR else links(kind, fields["account_sid"], fields["sid"]) | record
    return json_bytes(whole)


def links(kind: Kind, account_sid: str, sid: str) -> Fields:
    """Return the links of a record of the 2010 API."""
    uri = f"/2010-04-01/Accounts/{account_sid}/{kind.resource}/{sid}"
    parts = {part: f"{uri}/{part.capitalize()}.json" for part in PARTS[kind]}
    return {"api_version": "2010-04-01", "uri": f"{uri}.json", "subresource_uris": parts}


def call(account_sid: str, sid: str, at: datetime) -> Fields:
    """Build a call that was completed after 37 seconds, with every field that Twilio sends."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "parent_call_sid": None,
        "phone_number_sid": "PN00000000000000000000000000000001",
        "group_sid": None,
        "trunk_sid": None,
        "date_created": at,
        "date_updated": at,
        "start_time": at,
        "end_time": at,
        "duration": "37",
        "price": None,
        "price_unit": "USD",
        "status": "completed",
        "direction": "outbound-api",
        "to": "+14155550100",
        "to_formatted": "(415) 555-0100",
        "from": "+14155550123",
        "from_formatted": "(415) 555-0123",
        "forwarded_from": None,
        "caller_name": None,
        "answered_by": None,
        "queue_time": "0",
    }


def message(account_sid: str, sid: str, at: datetime) -> Fields:
    """Build a message that was delivered immediately, with every field that Twilio sends."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "messaging_service_sid": None,
        "from": "+14155550123",
        "to": "+14155550100",
        "body": "Your code is 123456",
        "status": "delivered",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "num_segments": "1",
        "num_media": "0",
        "price": None,
        "price_unit": "USD",
        "date_created": at,
        "date_sent": at,
        "date_updated": at,
    }


def error(account_sid: str, sid: str, at: datetime, base_url: str = "https://monitor.twilio.com") -> Fields:
    """Build an error-log entry about a webhook that returned 502, with every field that Twilio sends."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "resource_sid": "",
        "service_sid": None,
        "error_code": "11200",
        "log_level": "error",
        "api_version": "2010-04-01",
        "alert_text": None,
        "more_info": None,
        "request_method": "POST",
        "request_url": "https://app.example.com/voice",
        "date_generated": at,
        "date_created": at,
        "date_updated": at,
        "url": f"{base_url}/v1/Alerts/{sid}",
        "request_variables": "Direction=inbound&ApiVersion=2010-04-01",
        "request_headers": "Content-Type=application%2Fx-www-form-urlencoded",
        "response_headers": "Content-Type=text%2Fhtml",
        "response_body": "<html><body>Bad Gateway</body></html>",
    }


def alert_text(error_code: str, level: str, url: str | None = None, http_status: int | None = None) -> str:
    """Build the text of an error-log entry: form data that begins with a bare `Msg`."""
    pairs: dict[str, str] = {"sourceComponent": "12000", "ErrorCode": error_code}
    if http_status is not None:
        pairs["httpResponse"] = str(http_status)
    if url:
        pairs["url"] = url
    return "Msg&" + urlencode(pairs | {"LogLevel": level.upper()}, errors="replace")


def formatted(number: str | None) -> str | None:
    """Format a North American number as people do: `(415) 555-0100`; others are unchanged."""
    if number and number.startswith("+1") and len(number) == 12:
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


def account(item: Account) -> Fields:
    """Serialize an account as the Accounts resource does, including its token."""
    uri = f"/2010-04-01/Accounts/{item.sid}"
    return {
        "sid": item.sid,
        "owner_account_sid": item.parent_sid or item.sid,
        "friendly_name": item.friendly_name,
        "status": str(item.status),
        "type": item.type,
        "auth_token": item.auth_token,
        "date_created": rfc2822(item.created_at),
        "date_updated": rfc2822(item.created_at),
        "uri": f"{uri}.json",
        "subresource_uris": {"calls": f"{uri}/Calls.json", "messages": f"{uri}/Messages.json"},
    }
