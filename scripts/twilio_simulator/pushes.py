"""Twilio's callbacks about a record: status callbacks, the error webhook, and Event Streams."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scripts.twilio_simulator.records import Record
from scripts.twilio_simulator.wire import Kind, iso8601, rfc2822

Form = dict[str, str]
CALL_EVENTS = {"queued": "initiated", "ringing": "ringing", "in-progress": "answered"}
"""Names of a call's events by status; every other status is `completed`."""


def message_callback(record: Record) -> Form:
    """Build the parameters of a message's status callback."""
    fields = record.fields
    form = {
        "MessageSid": record.sid,
        "SmsSid": record.sid,
        "MessageStatus": fields["status"],
        "SmsStatus": fields["status"],
        "AccountSid": record.account_sid,
        "From": fields["from"] or "",
        "To": fields["to"],
        "ApiVersion": "2010-04-01",
    }
    if fields["messaging_service_sid"]:
        form["MessagingServiceSid"] = fields["messaging_service_sid"]
    if fields["status"] in ("failed", "undelivered") and fields["error_code"]:
        form["ErrorCode"] = str(fields["error_code"])
    return form


def call_callback(record: Record, sequence_number: int, at: datetime) -> Form:
    """Build the parameters of a call's status callback."""
    fields = record.fields
    form = {
        "CallSid": record.sid,
        "AccountSid": record.account_sid,
        "From": fields["from"],
        "To": fields["to"],
        "Caller": fields["from"],
        "Called": fields["to"],
        "CallStatus": fields["status"],
        "ApiVersion": "2010-04-01",
        "Direction": fields["direction"],
        "Timestamp": rfc2822(at),
        "CallbackSource": "call-progress-events",
        "SequenceNumber": str(sequence_number),
    }
    if fields["duration"] is not None and fields["status"] == "completed":
        seconds = int(fields["duration"])
        form |= {"CallDuration": str(seconds), "Duration": str(-(-seconds // 60))}
    return form


def error_webhook(record: Record, parent_sid: str | None) -> Form:
    """Build the parameters of the Debugger's webhook about an entry."""
    form = {
        "Sid": record.sid,
        "AccountSid": record.account_sid,
        "Timestamp": iso8601(record.fields["date_generated"]),
        "Level": record.fields["log_level"].upper(),
        "PayloadType": "application/json",
        "Payload": _payload(record),
    }
    return form | ({"ParentAccountSid": parent_sid} if parent_sid else {})


def _payload(record: Record) -> str:
    fields = record.fields
    payload = {
        "resource_sid": fields["resource_sid"],
        "service_sid": fields["service_sid"],
        "error_code": fields["error_code"],
        "more_info": {"Msg": "", "ErrorCode": fields["error_code"], "LogLevel": fields["log_level"].upper()},
        "webhook": {
            "type": "application/json",
            "request": {
                "method": fields["request_method"],
                "url": fields["request_url"],
                "headers": {},
                "parameters": {},
            },
            "response": {"status_code": None, "headers": {}, "body": fields["response_body"]},
        },
    }
    return json.dumps(payload)


def event(record: Record, at: datetime, sequence_number: int) -> dict[str, Any]:
    """Build an Event Streams event about the newest version of a record."""
    kind, schema, data = EVENTS[record.kind](record, at, sequence_number)
    digest = hashlib.md5(f"{record.sid}/{sequence_number}".encode(), usedforsecurity=False).hexdigest()
    return {
        "specversion": "1.0",
        "type": f"com.twilio.{kind}",
        "source": record.sid,
        "id": record.sid if record.kind is Kind.ERROR else f"EZ{digest}",
        "time": f"{iso8601(at)[:-1]}.000Z",
        "dataschema": f"https://events-schemas.twilio.com/{schema}",
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def _message_event(record: Record, at: datetime, _sequence_number: int) -> tuple[str, str, Mapping[str, Any]]:
    fields = record.fields
    data = {
        "messageSid": record.sid,
        "accountSid": record.account_sid,
        "timestamp": f"{iso8601(at)[:-1]}.000Z",
        "from": fields["from"],
        "to": fields["to"],
        "messageStatus": fields["status"].upper(),
        "messagingServiceSid": fields["messaging_service_sid"],
        "numberOfSegments": int(fields["num_segments"]),
        "body": fields["body"],
    }
    if fields["error_code"]:
        data["errorCode"] = fields["error_code"]
    if fields["direction"] == "inbound":
        return "messaging.inbound-message.received", "Messaging.InboundMessageV1/1", data
    return f"messaging.message.{fields['status']}", "Messaging.MessageStatus/2", data


def _call_event(record: Record, at: datetime, sequence_number: int) -> tuple[str, str, Mapping[str, Any]]:
    form = call_callback(record, sequence_number, at)
    data = {
        "sid": record.sid,
        "requestDateCreated": rfc2822(at),
        "timestamp": f"{iso8601(at)[:-1]}.000Z",
        "request": {"method": "POST", "url": "https://app.example.com/status", "parameters": form},
    }
    name = CALL_EVENTS.get(record.fields["status"], "completed")
    return f"voice.status-callback.call.{name}", "Voice.WebhookEvent/2", data


def _error_event(record: Record, _at: datetime, _sequence_number: int) -> tuple[str, str, Mapping[str, Any]]:
    data = {
        "sid": record.sid,
        "account_sid": record.account_sid,
        "master_account_sid": record.account_sid,
        "date_created": iso8601(record.fields["date_generated"]),
        "level": record.fields["log_level"].upper(),
        "product_name": "Programmable Voice",
        "error_code": record.fields["error_code"],
        "service_sid": record.fields["service_sid"],
        "payload": _payload(record),
    }
    return "error-logs.error.logged", "ErrorLogs.Error/2", data


EVENTS = {Kind.MESSAGE: _message_event, Kind.CALL: _call_event, Kind.ERROR: _error_event}
