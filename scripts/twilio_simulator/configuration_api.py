"""The API of the resources that customers set to receive callbacks: numbers, services, sinks and subscriptions."""

import json
import re
from datetime import datetime

from scripts.twilio_simulator.configuration import RESOURCE_KINDS
from scripts.twilio_simulator.errors import bad_parameter, not_found
from scripts.twilio_simulator.http import Response, json_response
from scripts.twilio_simulator.paging import Page, read_page_query, write_page
from scripts.twilio_simulator.request_context import Handler, RequestContext
from scripts.twilio_simulator.wire import Fields, iso8601, rfc2822


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
