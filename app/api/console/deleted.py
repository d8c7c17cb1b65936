"""Finds who deleted the object of an address, for its 404 page."""

from dataclasses import dataclass
from datetime import datetime

from app.database import session_scope
from app.services import audit

KINDS = {"rules": "rule", "actions": "action", "accounts": "account"}
"""First part of a path, and the name of its objects."""


@dataclass(frozen=True)
class Deletion:
    """Who deleted an object, and when."""

    kind: str
    id: str
    name: str
    by: str
    at: datetime


def find(path: str) -> Deletion | None:
    """Find the deletion of a path's object; None if it never existed or nobody deleted it."""
    section, _, rest = path.strip("/").partition("/")
    kind, object_id = KINDS.get(section), rest.partition("/")[0]
    if kind is None or not object_id:
        return None
    with session_scope() as session:
        entry = audit.find_deletion(session, f"{kind}:{object_id}")
        if entry is None:
            return None
        before = entry.before or {}
        return Deletion(kind, object_id, _name(before), entry.by, entry.at)


def _name(before: dict[str, object]) -> str:
    names = ("name", "friendly_name", "sid", "action_type")
    return next((str(before[name]) for name in names if before.get(name)), "")
