"""The audit: who changed what, as differences."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from fastapi import Request, Response

from app.api.console.access import SignedIn, need_scope
from app.api.console.filters import neighbours, read_filters
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.api.lists import read_position
from app.api.schemas.audit import AuditFilters
from app.database import session_scope
from app.enums import Scope
from app.models import AuditEntry
from app.services import audit
from app.services.names import names_of
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
    "silence": "/silences",
    "key": "/keys",
}
"""The pages of the objects that entries are about."""
NAMED_KINDS = {"rule": "rule_id", "alert": "alert_id", "action": "action_id", "account": "account_sid"}
"""The kinds of objects whose names are stored, as `names_of` calls them."""
NAMES = ("name", "friendly_name", "summary", "recipient", "reason")
"""The fields that name an object, the best first."""

VERBS = {
    "create": "created",
    "update": "changed",
    "delete": "deleted",
    "acknowledge": "acknowledged",
    "unacknowledge": "took back the acknowledgement of",
    "resolve": "resolved",
    "note": "left a note on",
    "test": "tested",
    "retry": "retried",
    "retry_failed": "retried what failed of",
    "poll": "polled",
    "backfill": "asked for a backfill of",
    "promote_token": "promoted the next token of",
    "revoke": "revoked",
    "phone": "signed in a phone with",
}
"""What was done, by the last word of an entry's action."""


class Difference(NamedTuple):
    """One field that an entry changed."""

    field: str
    before: str
    after: str


def differences(entry: AuditEntry) -> list[Difference]:
    """List the fields that differ between before and after; those of objects within by their path."""
    before, after = _flat(entry.before or {}), _flat(entry.after or {})
    names = dict.fromkeys([*before, *after])
    return [
        Difference(name.replace("_", " "), _text(before.get(name)), _text(after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{path}{name}: ") if isinstance(value, dict) else {f"{path}{name}": value}
    return found


def _text(value: Any) -> str:
    """Write a value as a person would."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return orjson.dumps(value).decode() if isinstance(value, dict) else str(value)


def verb_of(entry: AuditEntry) -> str:
    """Describe an action in the past tense."""
    verb = entry.action.partition(".")[2]
    return VERBS.get(verb, verb.replace("_", " "))


def name_of(entry: AuditEntry, names: Mapping[str, str]) -> str:
    """Name an entry's object, as far as the entry knows, else as it is called today; else by the start of its id."""
    known = (entry.before or {}) | (entry.after or {})
    kind, _, key = entry.target.partition(":")
    name = next((str(known[field]) for field in NAMES if known.get(field)), names.get(key, key[:8]))
    return f"{kind} {name}".strip()


def _keys_by_kind(entries: Sequence[AuditEntry]) -> dict[str, list[str]]:
    """Collect what the entries are about, by the kinds that have names."""
    targets = {entry.target.partition(":")[::2] for entry in entries}
    return {known: [key for kind, key in targets if kind == of] for of, known in NAMED_KINDS.items()}


def page_of(target: str) -> str | None:
    """Return the page of an entry's object; None if it has none."""
    kind, _, name = target.partition(":")
    return PAGES[kind].format(name) if kind in PAGES and name else None


@router.get("/audit")
def list_audit(request: Request, viewer: SignedIn) -> Response:
    """List the changes, newest first."""
    need_scope(viewer, Scope.ADMIN)
    filters = read_filters(AuditFilters, "/audit", request.query_params.multi_items(), utc_now(), LABELS)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("audit", query, audit.SORT_KEY)
        page = audit.list_entries(session, query.to_filter(), position, PAGE_SIZE)
        names = names_of(session, _keys_by_kind(page.items), settings_of(request))
        session.expunge_all()
    context = {
        "section": "audit",
        "entries": [
            (each, verb_of(each), name_of(each, names), differences(each), page_of(each.target)) for each in page.items
        ],
        "chips": filters.chips,
        "kinds": [(kind, filters.replaced(kind=kind)) for kind in KINDS],
        "by_person": lambda by: filters.replaced(by=by.partition(" (")[0]),
        "beside": neighbours("audit", query, page, filters.address),
    }
    return render(request, viewer, "audit.html", context)
