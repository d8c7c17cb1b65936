"""The bodies of webhooks: the standard format, those of chat services and PagerDuty, and the user's template."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from app.actions import chat
from app.actions.base import Envelope, NotContacted, Notification, Rendered
from app.actions.fields import refuse, try_template
from app.actions.message_content import compose, truncate
from app.actions.templates import UnusableTemplate, render_json
from app.enums import NotificationType
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

MAX_BYTES = 64 * 1024
MAX_TEXT_LENGTH = 1000
"""For texts of an alert that is too large for a webhook."""
MAX_LISTED = 10
"""For lists in a report that is too large for a webhook."""
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
SECRET_PATHS = frozenset({"slack", "teams", "google_chat", "discord"})
"""Services whose URL is the secret."""
MAX_ROUTING_KEY_LENGTH = 64


def check(name: str | None, body: str | None, routing_key: str | None) -> JsonObject:
    """Validate the fields of the format; return those that are kept in the config.

    Raises: InvalidInput.
    """
    if body is not None and name not in (None, "standard"):
        raise refuse("body", "cannot be combined with a format other than standard")
    if name == "pagerduty":
        if (
            not routing_key
            or not routing_key.isascii()
            or not routing_key.isalnum()
            or len(routing_key) > MAX_ROUTING_KEY_LENGTH
        ):
            raise refuse("routing_key", "must be the integration's routing key, letters and digits")
        return {"routing_key": routing_key}
    if routing_key is not None:
        raise refuse("routing_key", "is only for the format pagerduty")
    if body is None:
        return {}
    try_template("body", partial(_templated, body))
    return {"body": body}


def render(config: JsonObject, notification: Notification) -> Rendered:
    """Render the body, which is frozen and sent on every attempt."""
    name = config["format"]
    if "body" in config:
        try:
            return _frozen(name, _templated(config["body"], notification))
        except UnusableTemplate as error:
            warning = f"config.body was not used ({error}); the built-in body was sent"
            return _frozen(name, standard(notification), warning)
    return _frozen(name, standard(notification) if name == "standard" else _for_chat(name, notification))


def _for_chat(name: str, notification: Notification) -> bytes:
    """Build a chat service's message. If it is too long, truncate every long text."""
    message = compose(notification)
    for max_length in (None, 1000, 300, 60):
        shortened = message if max_length is None else message.truncated(max_length)
        body = orjson.dumps(chat.FORMATS[name](notification, shortened))
        if len(body) <= chat.MAX_TOTAL_LENGTH[name]:
            break
    return body


def _frozen(name: str, body: bytes, warning: str | None = None) -> Rendered:
    return Rendered({"format": name, "body": body.decode()}, warning)


def sent_bodies(config: JsonObject, envelope: Envelope) -> list[bytes]:
    """Return the bodies to send, in this order.

    PagerDuty's routing key is added only here, because frozen content is stored in clear. Each of its tests has its own
    key and is resolved at once, so that nobody is called twice.

    Raises: NotContacted if the body is in another format than the action's, which was edited since.
    """
    made_for = envelope.content.get("format", config["format"])  # earlier releases did not store it
    if made_for != config["format"]:
        raise NotContacted(f"made for the format {made_for}: the action's format was changed since")
    body = envelope.content["body"].encode()
    if config["format"] != "pagerduty":
        return [body]
    event = orjson.loads(body) | {"routing_key": config["routing_key"]}
    if envelope.type != NotificationType.TEST:
        return [orjson.dumps(event)]
    key = {"dedup_key": f"giftpulse-test-{envelope.delivery_id}"}
    over = {"routing_key": config["routing_key"], "event_action": "resolve"} | key
    return [orjson.dumps(event | key), orjson.dumps(over)]


def _templated(source: str, notification: Notification) -> bytes:
    body = render_json(source, template_values(notification), MAX_BYTES)
    if len(body) > MAX_BYTES:
        raise UnusableTemplate(f"makes more than {MAX_BYTES} bytes")
    return body


def template_values(notification: Notification) -> JsonObject:
    """Return the variables of a user's template: the fields of a webhook's `data`, its type and time."""
    return {
        "type": notification.type.value,
        "timestamp": rfc3339(notification.timestamp),
        "alert": notification.alert,
        "rule": notification.rule,
        "logs": list(notification.logs),
        "digest": notification.digest,
        "report": notification.report,
        "base_url": notification.base_url,
    }


def standard(notification: Notification) -> bytes:
    """Build the body of format `standard`, within 64 KiB. It says if something is omitted."""
    if notification.report is not None:
        return _report(notification, notification.report)
    logs = list(notification.logs)
    while True:
        body = _standard(notification, notification.rule, logs)
        if len(body) <= MAX_BYTES:
            return body
        if not logs:
            break
        logs.pop()
    rule = notification.rule
    short = None if rule is None else {"id": rule["id"], "name": rule["name"], "truncated": True}
    body = _standard(notification, short, [])
    if len(body) <= MAX_BYTES:
        return body
    alert = {name: _truncate(value) for name, value in notification.alert.items()} | {"truncated": True}
    return _standard(replace(notification, alert=alert), short and short | {"name": _truncate(short["name"])}, [])


def _report(notification: Notification, report: JsonObject) -> bytes:
    """Build the body of a report. If it is too large, long lists are truncated, and `truncated` is set."""
    body = _standard(notification, None, [])
    if len(body) <= MAX_BYTES:
        return body
    return _standard(replace(notification, report=_shortened(report) | {"truncated": True}), None, [])


def _shortened(value: Any) -> Any:
    """Truncate the lists in a value of a report."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    return value[:MAX_LISTED] if isinstance(value, list) else value


def _truncate(value: Any) -> Any:
    """Truncate the long texts in a value of an alert."""
    if isinstance(value, dict):
        return {name: _truncate(part) for name, part in value.items()}
    return truncate(value, MAX_TEXT_LENGTH) if isinstance(value, str) else value


def _standard(notification: Notification, rule: Mapping[str, Any] | None, logs: list[JsonObject]) -> bytes:
    left_out = len(notification.logs) - len(logs)
    data: JsonObject = {"alert": notification.alert, "rule": rule, "logs": logs}
    if left_out:
        data["truncated_logs"] = left_out
    if notification.digest is not None:
        data["digest"] = notification.digest
    if notification.report is not None:
        data["report"] = notification.report
    return orjson.dumps({"type": notification.type, "timestamp": rfc3339(notification.timestamp), "data": data})
