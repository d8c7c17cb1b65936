"""The REST API: resolves the path, checks the caller, and builds the response."""

import json
import re

from scripts.twilio_simulator import accounts, configuration_api, filters, wire
from scripts.twilio_simulator.accounts import Account
from scripts.twilio_simulator.collection import Slice
from scripts.twilio_simulator.errors import ApiError, bad_parameter, not_found
from scripts.twilio_simulator.http import Request, Response, json_response
from scripts.twilio_simulator.paging import Page, PageQuery, read_page_query, write_page
from scripts.twilio_simulator.request_context import Handler, RequestContext, World
from scripts.twilio_simulator.wire import Kind

ERROR_LOG_CAP = 10_000
"""No query of the error log returns more."""
NO_CAP = 1 << 60
KINDS = {kind.resource: kind for kind in Kind}


def answer(simulator: World, request: Request) -> Response:
    """Answer a request of a Twilio client."""
    try:
        principal = accounts.authenticate(simulator.accounts, request.credentials)
        handler, names = _route(request)
        return handler(RequestContext(simulator, principal, request, names))
    except ApiError as error:
        return error.response()


def _route(request: Request) -> tuple[Handler, dict[str, str]]:
    found = [(methods, match) for pattern, methods in ROUTES if (match := pattern.fullmatch(request.path))]
    for methods, match in found:
        if request.method in methods:
            return methods[request.method], match.groupdict()
    if found:
        raise ApiError(405, 20004, "Method not allowed")
    raise not_found(request.path)


def _account_list(context: RequestContext) -> Response:
    context.principal.require("accounts")
    found = [
        item
        for item in context.simulator.accounts.values()
        if _listed(item, context.principal.account, context.request)
    ]
    query = read_page_query(context.request)
    sids = [item.sid for item in found]
    start = sids.index(query.after_sid) + 1 if query.after_sid in sids else 0
    shown = found[start : start + query.size]
    items = [json.dumps(wire.account(item)).encode() for item in shown]
    last = shown[-1].sid if start + query.size < len(found) else None
    return write_page(Page(items, last, shown[0].sid if shown else None), "accounts", query, context.request)


def _listed(item: Account, own: Account, request: Request) -> bool:
    return (
        own.sid in (item.sid, item.parent_sid)
        and request.query.get("Status", item.status) == item.status
        and request.query.get("FriendlyName", item.friendly_name) == item.friendly_name
    )


def _account(context: RequestContext) -> Response:
    context.principal.require("accounts")
    return json_response(200, wire.account(context.account()))


def _list_2010(context: RequestContext) -> Response:
    kind = KINDS[context.names["resource"]]
    context.principal.require(kind.key)
    return _list(context, context.account(), kind, NO_CAP)


def _list_alerts(context: RequestContext) -> Response:
    context.principal.require("alerts")
    return _list(context, context.principal.account, Kind.ERROR, ERROR_LOG_CAP)


def _list(context: RequestContext, account: Account, kind: Kind, cap: int) -> Response:
    query = read_page_query(context.request)
    cut = _cut(context, account, kind, query, min(query.size, max(0, cap - query.start)))
    more = cut.more and bool(cut.records) and query.start + len(cut.records) < cap
    page = Page(
        items=[record.listed() for record in cut.records],
        next_after=cut.records[-1].sid if more else None,
        first_sid=cut.records[0].sid if cut.records else None,
    )
    return write_page(page, kind.key, query, context.request)


def _cut(context: RequestContext, account: Account, kind: Kind, query: PageQuery, size: int) -> Slice:
    now = context.simulator.clock.now()
    wanted = filters.parse(kind, context.request.query, context.simulator.habits, now)
    collection = context.simulator.collection(account.sid, kind)
    try:
        if query.before_sid:
            return collection.page_before(size, query.before_sid, wanted.wanted, now.timestamp())
        return collection.page(size, query.after_sid, wanted.wanted, wanted.bounds, now.timestamp())
    except KeyError:
        raise bad_parameter("PageToken is not valid") from None


def _single_2010(context: RequestContext) -> Response:
    kind = KINDS[context.names["resource"]]
    context.principal.require(kind.key)
    return _single(context, context.account(), kind)


def _single_alert(context: RequestContext) -> Response:
    context.principal.require("alerts")
    return _single(context, context.principal.account, Kind.ERROR)


def _single(context: RequestContext, account: Account, kind: Kind) -> Response:
    record = context.simulator.collection(account.sid, kind).by_sid.get(context.names["sid"])
    if record is None or record.removed or record.created_at > context.simulator.clock.now():
        raise not_found(context.request.path)
    return Response(200, record.single())


_ACCOUNT = r"/2010-04-01/Accounts/(?P<account>AC\w+)"
_READ: dict[str, Handler] = {
    r"/2010-04-01/Accounts\.json": _account_list,
    _ACCOUNT + r"\.json": _account,
    _ACCOUNT + r"/(?P<resource>Calls|Messages)\.json": _list_2010,
    _ACCOUNT + r"/(?P<resource>Calls|Messages)/(?P<sid>\w+)\.json": _single_2010,
    r"/v1/Alerts": _list_alerts,
    r"/v1/Alerts/(?P<sid>\w+)": _single_alert,
}
ROUTES: list[tuple["re.Pattern[str]", dict[str, Handler]]] = [
    *((re.compile(path), {"GET": handler}) for path, handler in _READ.items()),
    *((re.compile(path), methods) for path, methods in configuration_api.ROUTES.items()),
]
