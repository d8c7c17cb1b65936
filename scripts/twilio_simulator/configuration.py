"""Resources that customers set through the API to receive callbacks: numbers, services, sinks and subscriptions."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime

from scripts.twilio_simulator.errors import bad_parameter, not_found
from scripts.twilio_simulator.http import Response, json_response
from scripts.twilio_simulator.paging import Page, read_page_query, write_page
from scripts.twilio_simulator.records import Record
from scripts.twilio_simulator.request_context import Handler, RequestContext
from scripts.twilio_simulator.wire import Fields, Kind, iso8601, rfc2822


@dataclass(frozen=True)
class Targets:
    """The URLs to call; empty ones are not called. A fragment overrides the retry policy: `#rc=5&rp=all`."""

    status: str = ""
    """Status callbacks of messages and calls."""
    error: str = ""
    """The error webhook."""
    events: str = ""
    """The webhook sink of Event Streams."""


RESOURCE_KINDS = {
    "numbers": ("incoming_phone_numbers", "PN"),
    "services": ("services", "MG"),
    "sinks": ("sinks", "DG"),
    "subscriptions": ("subscriptions", "DF"),
}
"""The resource kinds: the key of their list, and the prefix of their SIDs."""


@dataclass
class Configuration:
    """The configured resources of all accounts, by SID."""

    resources: dict[str, Fields] = field(default_factory=dict)

    def add_number(self, account_sid: str, sid: str, number: str) -> None:
        """Add a phone number to an account."""
        methods = dict.fromkeys(("status_callback_method", "voice_method", "sms_method"), "POST")
        urls = dict.fromkeys(("status_callback", "voice_url", "sms_url", "voice_fallback_url", "sms_fallback_url"), "")
        self.resources[sid] = {
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": number,
            "phone_number": number,
            "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
            "date_created": None,
            "date_updated": None,
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
            **urls,
            **methods,
        }

    def add_service(self, account_sid: str, sid: str, name: str) -> None:
        """Add a messaging service to an account."""
        self.resources[sid] = {
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": name,
            "inbound_request_url": None,
            "inbound_method": "POST",
            "status_callback": None,
            "use_inbound_webhook_on_number": False,
            "validity_period": 36000,
            "date_created": None,
            "date_updated": None,
            "url": f"https://messaging.twilio.com/v1/Services/{sid}",
        }

    def of(self, account_sid: str, prefix: str) -> list[Fields]:
        """List an account's resources of one kind."""
        return [
            found
            for sid, found in self.resources.items()
            if sid.startswith(prefix) and found["account_sid"] == account_sid
        ]

    def targets(self, record: Record) -> Targets:
        """Return where Twilio sends callbacks about a record. Only the Console can set the error webhook."""
        return Targets(status=self._status_callback(record) or "", events=self._sink(record.account_sid))

    def _status_callback(self, record: Record) -> str | None:
        if record.kind is Kind.MESSAGE:
            service = self.resources.get(record.fields["messaging_service_sid"] or "", {})
            return service.get("status_callback")
        numbers = self.of(record.account_sid, "PN")
        called = [found["status_callback"] for found in numbers if found["phone_number"] == record.value("to")]
        return called[0] if called else None

    def _sink(self, account_sid: str) -> str:
        subscribed = {found["sink_sid"] for found in self.of(account_sid, "DF")}
        sinks = [found for found in self.of(account_sid, "DG") if found["sid"] in subscribed]
        return str(sinks[0]["sink_configuration"].get("destination", "")) if sinks else ""


def _list(context: RequestContext) -> Response:
    key, prefix = RESOURCE_KINDS[_resource_kind(context)]
    context.principal.require("configuration")
    query = read_page_query(context.request)
    shown = [_shown(found) for found in context.simulator.configuration.of(_account_sid(context), prefix)]
    return write_page(Page([json.dumps(found).encode() for found in shown], None, None), key, query, context.request)


def _fetch(context: RequestContext) -> Response:
    return json_response(200, _shown(_find_resource(context)))


def _update(context: RequestContext) -> Response:
    found = _find_resource(context)
    for name, values in context.request.form.items():
        if _snake(name) in found:
            found[_snake(name)] = values[-1]
    return json_response(200, _shown(found))


def _delete(context: RequestContext) -> Response:
    del context.simulator.configuration.resources[_find_resource(context)["sid"]]
    return Response(204)


def _create_sink(context: RequestContext) -> Response:
    try:
        settings = json.loads(_given(context, "SinkConfiguration"))
    except ValueError:
        raise bad_parameter("SinkConfiguration is not JSON") from None
    made = {"sink_configuration": settings, "sink_type": _given(context, "SinkType"), "status": "active"}
    return _create(context, "Sinks", made)


def _create_subscription(context: RequestContext) -> Response:
    sink_sid = _given(context, "SinkSid")
    if sink_sid not in context.simulator.configuration.resources:
        raise bad_parameter(f"There is no sink {sink_sid}")
    types = [json.loads(text) for text in context.request.form.get("Types", [])]
    return _create(context, "Subscriptions", {"sink_sid": sink_sid, "types": types})


def _create(context: RequestContext, resource: str, made: Fields) -> Response:
    context.principal.require("configuration")
    now, sid = context.simulator.clock.now(), context.simulator.new_sid(RESOURCE_KINDS[resource.lower()][1])
    found: Fields = {
        "sid": sid,
        "account_sid": context.principal.account.sid,
        "description": _given(context, "Description"),
        "date_created": now,
        "date_updated": now,
        "url": f"https://events.twilio.com/v1/{resource}/{sid}",
        **made,
    }
    context.simulator.configuration.resources[sid] = found
    return json_response(201, _shown(found))


def _subscribed_events(context: RequestContext) -> Response:
    found = _find_resource(context)
    query = read_page_query(context.request)
    items = [
        {
            "account_sid": found["account_sid"],
            "subscription_sid": found["sid"],
            "type": item["type"],
            "schema_version": item.get("schema_version", 1),
            "url": f"{found['url']}/SubscribedEvents/{item['type']}",
        }
        for item in found["types"]
    ]
    return write_page(Page([json.dumps(item).encode() for item in items], None, None), "types", query, context.request)


def _resource_kind(context: RequestContext) -> str:
    return context.names.get("shelf", "numbers").lower()


def _account_sid(context: RequestContext) -> str:
    return context.account().sid if "account" in context.names else context.principal.account.sid


def _find_resource(context: RequestContext) -> Fields:
    context.principal.require("configuration")
    found = context.simulator.configuration.resources.get(context.names["sid"])
    if found is None or found["account_sid"] != _account_sid(context):
        raise not_found(context.request.path)
    return found


def _given(context: RequestContext, name: str) -> str:
    values = context.request.form.get(name)
    if not values:
        raise bad_parameter(f"Missing required parameter {name}")
    return values[-1]


def _shown(found: Fields) -> Fields:
    """Serialize a resource as its API does."""
    write = rfc2822 if "uri" in found else iso8601
    shown = {name: write(value) if isinstance(value, datetime) else value for name, value in found.items()}
    shown.pop("types", None)
    return shown


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_NUMBERS = r"/2010-04-01/Accounts/(?P<account>AC\w+)/IncomingPhoneNumbers"
ROUTES: dict[str, dict[str, Handler]] = {
    _NUMBERS + r"\.json": {"GET": _list},
    _NUMBERS + r"/(?P<sid>\w+)\.json": {"GET": _fetch, "POST": _update},
    r"/v1/(?P<shelf>Services)": {"GET": _list},
    r"/v1/Services/(?P<sid>\w+)": {"GET": _fetch, "POST": _update},
    r"/v1/(?P<shelf>Sinks)": {"GET": _list, "POST": _create_sink},
    r"/v1/Sinks/(?P<sid>\w+)": {"GET": _fetch, "DELETE": _delete},
    r"/v1/(?P<shelf>Subscriptions)": {"GET": _list, "POST": _create_subscription},
    r"/v1/Subscriptions/(?P<sid>\w+)": {"GET": _fetch, "DELETE": _delete},
    r"/v1/Subscriptions/(?P<sid>\w+)/SubscribedEvents": {"GET": _subscribed_events},
}
