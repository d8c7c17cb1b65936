"""What a customer can set by the API so that Twilio pushes to them: numbers, services, sinks and subscriptions."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime

from scripts.twilio_simulator.errors import bad_parameter, not_found
from scripts.twilio_simulator.http import Response, json_response
from scripts.twilio_simulator.paging import Page, read_page_query, write_page
from scripts.twilio_simulator.question import Handler, Question
from scripts.twilio_simulator.records import Record
from scripts.twilio_simulator.wire import Fields, Kind, iso8601, rfc2822


@dataclass(frozen=True)
class Targets:
    """The addresses to call; an empty one is not called. A fragment overrides the habits: `#rc=5&rp=all`."""

    status: str = ""
    """Status callbacks of messages and calls."""
    error: str = ""
    """The error webhook."""
    events: str = ""
    """The webhook sink of Event Streams."""


SHELVES = {
    "numbers": ("incoming_phone_numbers", "PN"),
    "services": ("services", "MG"),
    "sinks": ("sinks", "DG"),
    "subscriptions": ("subscriptions", "DF"),
}
"""The kinds of configured things: the key of their list, and the first letters of their sids."""


@dataclass
class Configuration:
    """The configured things of all accounts, by their sid."""

    things: dict[str, Fields] = field(default_factory=dict)

    def add_number(self, account_sid: str, sid: str, number: str) -> None:
        """Give an account a phone number."""
        methods = dict.fromkeys(("status_callback_method", "voice_method", "sms_method"), "POST")
        urls = dict.fromkeys(("status_callback", "voice_url", "sms_url", "voice_fallback_url", "sms_fallback_url"), "")
        self.things[sid] = {
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
        """Give an account a messaging service."""
        self.things[sid] = {
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
        """List the things of one kind of an account."""
        return [
            thing
            for sid, thing in self.things.items()
            if sid.startswith(prefix) and thing["account_sid"] == account_sid
        ]

    def targets(self, record: Record) -> Targets:
        """Say where Twilio pushes what happens to a record. The error webhook can be set in the Console alone."""
        return Targets(status=self._status_callback(record) or "", events=self._sink(record.account_sid))

    def _status_callback(self, record: Record) -> str | None:
        if record.kind is Kind.MESSAGE:
            service = self.things.get(record.fields["messaging_service_sid"] or "", {})
            return service.get("status_callback")
        numbers = self.of(record.account_sid, "PN")
        called = [thing["status_callback"] for thing in numbers if thing["phone_number"] == record.value("to")]
        return called[0] if called else None

    def _sink(self, account_sid: str) -> str:
        subscribed = {thing["sink_sid"] for thing in self.of(account_sid, "DF")}
        sinks = [thing for thing in self.of(account_sid, "DG") if thing["sid"] in subscribed]
        return str(sinks[0]["sink_configuration"].get("destination", "")) if sinks else ""


def _list(ask: Question) -> Response:
    key, prefix = SHELVES[_shelf(ask)]
    ask.principal.require("configuration")
    query = read_page_query(ask.request)
    shown = [_shown(thing) for thing in ask.simulator.configuration.of(_account_sid(ask), prefix)]
    return write_page(Page([json.dumps(thing).encode() for thing in shown], None, None), key, query, ask.request)


def _fetch(ask: Question) -> Response:
    return json_response(200, _shown(_thing(ask)))


def _update(ask: Question) -> Response:
    thing = _thing(ask)
    for name, values in ask.request.form.items():
        if _snake(name) in thing:
            thing[_snake(name)] = values[-1]
    return json_response(200, _shown(thing))


def _delete(ask: Question) -> Response:
    del ask.simulator.configuration.things[_thing(ask)["sid"]]
    return Response(204)


def _create_sink(ask: Question) -> Response:
    try:
        settings = json.loads(_given(ask, "SinkConfiguration"))
    except ValueError:
        raise bad_parameter("SinkConfiguration is not JSON") from None
    made = {"sink_configuration": settings, "sink_type": _given(ask, "SinkType"), "status": "active"}
    return _create(ask, "Sinks", made)


def _create_subscription(ask: Question) -> Response:
    sink_sid = _given(ask, "SinkSid")
    if sink_sid not in ask.simulator.configuration.things:
        raise bad_parameter(f"There is no sink {sink_sid}")
    types = [json.loads(text) for text in ask.request.form.get("Types", [])]
    return _create(ask, "Subscriptions", {"sink_sid": sink_sid, "types": types})


def _create(ask: Question, resource: str, made: Fields) -> Response:
    ask.principal.require("configuration")
    now, sid = ask.simulator.clock.now(), ask.simulator.new_sid(SHELVES[resource.lower()][1])
    thing: Fields = {
        "sid": sid,
        "account_sid": ask.principal.account.sid,
        "description": _given(ask, "Description"),
        "date_created": now,
        "date_updated": now,
        "url": f"https://events.twilio.com/v1/{resource}/{sid}",
        **made,
    }
    ask.simulator.configuration.things[sid] = thing
    return json_response(201, _shown(thing))


def _subscribed_events(ask: Question) -> Response:
    thing = _thing(ask)
    query = read_page_query(ask.request)
    items = [
        {
            "account_sid": thing["account_sid"],
            "subscription_sid": thing["sid"],
            "type": item["type"],
            "schema_version": item.get("schema_version", 1),
            "url": f"{thing['url']}/SubscribedEvents/{item['type']}",
        }
        for item in thing["types"]
    ]
    return write_page(Page([json.dumps(item).encode() for item in items], None, None), "types", query, ask.request)


def _shelf(ask: Question) -> str:
    return ask.names.get("shelf", "numbers").lower()


def _account_sid(ask: Question) -> str:
    return ask.account().sid if "account" in ask.names else ask.principal.account.sid


def _thing(ask: Question) -> Fields:
    ask.principal.require("configuration")
    thing = ask.simulator.configuration.things.get(ask.names["sid"])
    if thing is None or thing["account_sid"] != _account_sid(ask):
        raise not_found(ask.request.path)
    return thing


def _given(ask: Question, name: str) -> str:
    values = ask.request.form.get(name)
    if not values:
        raise bad_parameter(f"Missing required parameter {name}")
    return values[-1]


def _shown(thing: Fields) -> Fields:
    """Write a thing as its API does."""
    write = rfc2822 if "uri" in thing else iso8601
    shown = {name: write(value) if isinstance(value, datetime) else value for name, value in thing.items()}
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
