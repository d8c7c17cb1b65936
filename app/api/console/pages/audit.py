"""The audit: who changed what, as differences."""

from typing import Any, NamedTuple

from fastapi import Request, Response

from app.api.console.access import SignedIn, need_scope
from app.api.console.filters import neighbours, read_filters
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.api.lists import read_position
from app.api.schemas.audit import AuditFilters
from app.database import session_scope
from app.enums import Scope
from app.models import AuditEntry
from app.services import audit
from app.utils.clock import utc_now

router = make_router()
PAGE_SIZE = 50
KINDS = ("rule", "action", "alert", "silence", "delivery", "account", "key")
LABELS = {"target": "of", "since": "from", "until": "before"}
PAGES = {
    "alert": "/alerts/{}",
    "rule": "/rules/{}",
    "action": "/actions/{}",
    "delivery": "/deliveries/{}",
    "account": "/accounts/{}",
}
"""The pages of the objects that entries are about."""


class Difference(NamedTuple):
    """One field that an entry changed."""

    field: str
    before: Any
    after: Any


def differences(entry: AuditEntry) -> list[Difference]:
    """List the fields that differ between before and after."""
    before, after = entry.before or {}, entry.after or {}
    names = dict.fromkeys([*before, *after])
    return [
        Difference(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def page_of(target: str) -> str | None:
    """Return the page of an entry's object; None if it has none."""
    kind, _, name = target.partition(":")
    return PAGES[kind].format(name) if kind in PAGES and name else None


@router.get("/audit")
def list_audit(request: Request, viewer: SignedIn) -> Response:
    """List what was changed, newest first."""
    need_scope(viewer, Scope.ADMIN)
    filters = read_filters(AuditFilters, "/audit", request.query_params.multi_items(), utc_now(), LABELS)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("audit", query, audit.SORT_KEY)
        page = audit.list_entries(session, query.to_filter(), position, PAGE_SIZE)
        session.expunge_all()
    context = {
        "section": "audit",
        "entries": [(entry, differences(entry), page_of(entry.target)) for entry in page.items],
        "chips": filters.chips,
        "kinds": [(kind, filters.replaced(kind=kind)) for kind in KINDS],
        "by_person": lambda by: filters.replaced(by=by.partition(" (")[0]),
        "beside": neighbours("audit", query, page, filters.address),
    }
    return render(request, viewer, "audit.html", context)
