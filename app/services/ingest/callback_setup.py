"""Sets up Twilio's callbacks to this server, and removes them. Reports what only the Console can set.

Settings made by others are kept; only addresses of this server are ever removed.
"""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from app.config import Settings
from app.database import session_scope
from app.errors import ConfigError, NotFound
from app.models import Account
from app.services.ingest.reader import Runtime, open_with_budget
from app.services.twilio.client import TwilioReader
from app.utils.addresses import is_loopback_url, may_reach

RETRIES = "#rc=5&rp=all"
"""Twilio retries a callback five times after any failure. Source: its documentation of connection overrides."""
EVENT_TYPES = (
    "com.twilio.error-logs.error.logged",
    "com.twilio.messaging.message.sent",
    "com.twilio.messaging.message.delivered",
    "com.twilio.messaging.message.undelivered",
    "com.twilio.messaging.message.failed",
)
NAME = "GiftPulse"
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".example")
"""Endings of host names that do not resolve on the internet. Source: RFC 6761, 6762, 8375."""


def connect(account_sid: str | None, settings: Settings, *, dry_run: bool = False) -> Iterator[str]:
    """Set Twilio's callbacks to this server. Yield a line for each: what was done, or what to do manually.

    Args:
        account_sid: a watched account; None for the environment's.
        dry_run: change nothing, and report what would be done.

    Raises:
        NotFound: there is no such account.
        ConfigError: Twilio cannot reach PUBLIC_BASE_URL.
        TwilioError: Twilio refused, usually because an API key may not write.
    """
    status, events = f"{settings.public_base_url}/webhooks/twilio/status{RETRIES}", _events_url(settings)
    with _open(account_sid, settings) as reader:
        # A Twilio on this machine, such as the bundled simulator, can reach this machine's addresses.
        if not _is_public(settings.public_base_url) and not is_loopback_url(reader.api_url):
            outcome = f"PUBLIC_BASE_URL is {settings.public_base_url}, which Twilio cannot reach"
            raise ConfigError(f"{outcome}: set it to this server's public address first")
        for resource, url in _list_resources(reader):
            yield _set_status_callback(reader, resource, url, status, dry_run=dry_run)
        sinks = [
            sink for sink in reader.list_resources(reader.events_url, "/v1/Sinks", "sinks") if _leads_to(sink, events)
        ]
        if sinks:
            yield f"event sink {sinks[0]['sid']}: leads here already"
        elif dry_run:
            yield f"event sink: would be created for {events}, with a subscription to {len(EVENT_TYPES)} event types"
        else:
            yield _make_sink(reader, events)
    error = f"{settings.public_base_url}/webhooks/twilio/error{RETRIES}"
    yield f"manually, in Twilio's Console (Monitor, Errors, Webhook): {error}"


def disconnect(account_sid: str | None, settings: Settings, *, dry_run: bool = False) -> Iterator[str]:
    """Remove this server's addresses from Twilio. Yield a line for each. Raises as `connect` does."""
    done = "would be" if dry_run else "is"
    ours_begin = _comparable(f"{settings.public_base_url}/webhooks/twilio/")
    with _open(account_sid, settings) as reader:
        for resource, url in _list_resources(reader):
            if _comparable(resource.get("status_callback")).startswith(ours_begin):
                if not dry_run:
                    reader.change("POST", url, {"StatusCallback": ""})
                yield f"{_resource_name(resource)}: its status callback {done} empty again"
        sinks = list(reader.list_resources(reader.events_url, "/v1/Sinks", "sinks"))
        ours = {sink["sid"] for sink in sinks if _leads_to(sink, _events_url(settings))}
        subscriptions = list(reader.list_resources(reader.events_url, "/v1/Subscriptions", "subscriptions"))
        for subscription in subscriptions:
            if subscription.get("sink_sid") in ours and not dry_run:
                reader.change("DELETE", f"{reader.events_url}/v1/Subscriptions/{subscription['sid']}", None)
        for sid in sorted(ours):
            if not dry_run:
                reader.change("DELETE", f"{reader.events_url}/v1/Sinks/{sid}", None)
            yield f"event sink {sid}: {done} removed"
    yield "manually, in Twilio's Console (Monitor, Errors, Webhook): remove the address of this server"


def _open(account_sid: str | None, settings: Settings) -> TwilioReader:
    sid = account_sid or settings.twilio_account_sid
    with session_scope() as session:
        account_id = session.scalar(select(Account.id).where(Account.sid == sid))
        if account_id is None:
            raise NotFound(f"account {sid} is not watched" if sid else "no account is watched: set TWILIO_ACCOUNT_SID")
    return open_with_budget(account_id, Runtime(settings))


def _list_resources(reader: TwilioReader) -> Iterator[tuple[dict[str, Any], str]]:
    """List the numbers and messaging services, each with the URL for changing it."""
    path = f"{reader.home}/IncomingPhoneNumbers"
    for number in list(reader.list_resources(reader.api_url, f"{path}.json", "incoming_phone_numbers")):
        yield number, f"{reader.api_url}{path}/{number['sid']}.json"
    for service in list(reader.list_resources(reader.messaging_url, "/v1/Services", "services")):
        yield service, f"{reader.messaging_url}/v1/Services/{service['sid']}"


def _set_status_callback(
    reader: TwilioReader, resource: dict[str, Any], url: str, address: str, *, dry_run: bool
) -> str:
    """Set a resource's status callback unless it is used for something else."""
    present = resource.get("status_callback") or ""
    if _comparable(present) == _comparable(address):
        return f"{_resource_name(resource)}: its status callback leads here already"
    if present:
        name = _resource_name(resource)
        return f"{name}: left alone, its status callback leads elsewhere; to change it manually: {address}"
    if dry_run:
        return f"{_resource_name(resource)}: its status callback is empty and would lead to {address}"
    reader.change("POST", url, {"StatusCallback": address})
    return f"{_resource_name(resource)}: its status callback leads here now"


def _make_sink(reader: TwilioReader, address: str) -> str:
    """Create an event sink for this server, and subscribe it."""
    wanted = json.dumps({"destination": address, "method": "POST", "batch_events": True})
    form: dict[str, object] = {"Description": NAME, "SinkConfiguration": wanted, "SinkType": "webhook"}
    sink = reader.change("POST", f"{reader.events_url}/v1/Sinks", form)
    types = [json.dumps({"type": name}) for name in EVENT_TYPES]
    reader.change(
        "POST",
        f"{reader.events_url}/v1/Subscriptions",
        {"Description": NAME, "SinkSid": sink["sid"], "Types": types},
    )
    return f"event sink {sink['sid']}: created, with a subscription to {len(types)} event types"


def _events_url(settings: Settings) -> str:
    return f"{settings.public_base_url}/webhooks/twilio/events"


def _is_public(url: str) -> bool:
    """Return whether an address looks reachable from the internet."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return may_reach(ip_address(host), ())
    except ValueError:
        return "." in host and not host.endswith(PRIVATE_SUFFIXES)


def _leads_to(sink: dict[str, Any], address: str) -> bool:
    configuration = sink.get("sink_configuration")
    present = configuration.get("destination") if isinstance(configuration, dict) else None
    return _comparable(present) == _comparable(address)


def _comparable(address: object) -> str:
    """Spell an address as URLs are compared: the case of scheme and host does not count. Empty if it is no text."""
    scheme, separator, rest = address.partition("://") if isinstance(address, str) else ("", "", "")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}"


def _resource_name(resource: dict[str, Any]) -> str:
    """Identify a number or service by its SID: phone numbers must not be logged."""
    kind = "number" if str(resource["sid"]).startswith("PN") else "messaging service"
    return f"{kind} {resource['sid']}"
