"""The shapes of Twilio's records, field by field. Pure tables.

A record is decoded directly into its shape. Fields that are used have types; the others stay raw.
"""

from typing import Any

import msgspec

Number = int | float | str | None
"""Twilio sends many numbers as texts, and some as both."""


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of all types."""

    sid: str
    account_sid: str | None = None


class MessageRecord(Record, rename={"from_": "from"}):
    """A Message. Source: Twilio's OpenAPI, api.v2010.account.message."""

    status: str | None = None
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    body: str | None = None
    error_code: Number = None
    error_message: str | None = None
    num_segments: Number = None
    price: Number = None
    price_unit: str | None = None
    messaging_service_sid: str | None = None
    date_created: str | None = None
    date_sent: str | None = None
    date_updated: str | None = None
    num_media: Any = msgspec.UNSET
    api_version: Any = msgspec.UNSET
    uri: Any = msgspec.UNSET
    subresource_uris: Any = msgspec.UNSET


class CallRecord(Record, rename={"from_": "from"}):
    """A Call. Source: Twilio's OpenAPI, api.v2010.account.call."""

    status: str | None = None
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    price: Number = None
    price_unit: str | None = None
    duration: Number = None
    date_created: str | None = None
    date_updated: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    parent_call_sid: Any = msgspec.UNSET
    phone_number_sid: Any = msgspec.UNSET
    group_sid: Any = msgspec.UNSET
    trunk_sid: Any = msgspec.UNSET
    to_formatted: Any = msgspec.UNSET
    from_formatted: Any = msgspec.UNSET
    forwarded_from: Any = msgspec.UNSET
    caller_name: Any = msgspec.UNSET
    answered_by: Any = msgspec.UNSET
    queue_time: Any = msgspec.UNSET
    annotation: Any = msgspec.UNSET
    api_version: Any = msgspec.UNSET
    uri: Any = msgspec.UNSET
    subresource_uris: Any = msgspec.UNSET


class ErrorRecord(Record):
    """An Alert of the Monitor. Source: Twilio's OpenAPI, monitor.v1.alert."""

    resource_sid: str | None = None
    error_code: Number = None
    log_level: str | None = None
    alert_text: str | None = None
    date_generated: str | None = None
    date_created: str | None = None
    date_updated: str | None = None
    service_sid: Any = msgspec.UNSET
    more_info: Any = msgspec.UNSET
    request_method: Any = msgspec.UNSET
    request_url: Any = msgspec.UNSET
    api_version: Any = msgspec.UNSET
    url: Any = msgspec.UNSET
    request_variables: Any = msgspec.UNSET
    request_headers: Any = msgspec.UNSET
    response_headers: Any = msgspec.UNSET
    response_body: Any = msgspec.UNSET
