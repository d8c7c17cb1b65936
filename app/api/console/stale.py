"""The page for saving an object that was changed since its form was opened: both versions side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request, Response

from app.api.console.access import Viewer
from app.api.console.rendering import render
from app.database import session_scope
from app.services import audit

ANOTHER = "another one"
"""Shown in place of a secret that was entered."""


class Difference(NamedTuple):
    """One field that the two versions have different values for."""

    label: str
    theirs: str
    mine: str


@dataclass(frozen=True)
class Stale:
    """A form that was sent too late."""

    section: str
    lists: tuple[str, str]
    """The name of the list that the object is in, and its address."""
    name: str
    target: str
    """The object's name in the audit, such as `rule:` plus its id."""
    path: str
    """The object's page, which takes its form."""
    fields: Sequence[tuple[str, str]]
    """The posted fields, with the stored version."""
    look_path: str
    """The address that shows the form again with the posted fields."""
    differences: Sequence[Difference]
    lost_secrets: bool = False
    """A secret was typed: it is in no page, so it must be entered again."""


def differences(
    theirs: Mapping[str, str], mine: Mapping[str, str], labels: Mapping[str, str], secrets: frozenset[str] = frozenset()
) -> list[Difference]:
    """Compare two versions by their shown values; an empty value and a missing one are the same."""
    return [
        Difference(
            labels.get(name, name.replace("_", " ").capitalize()),
            theirs.get(name, ""),
            ANOTHER if name in secrets and mine.get(name) else mine.get(name, ""),
        )
        for name in dict.fromkeys([*theirs, *mine])
        if theirs.get(name, "") != mine.get(name, "")
    ]


def stale_page(request: Request, viewer: Viewer, stale: Stale) -> Response:
    """Show the stored and the posted version with the author of the stored one, and offer a choice."""
    with session_scope() as session:
        last = audit.last_change(session, stale.target)
        session.expunge_all()
    by = "" if last is None else "you" if last.by == viewer.principal.name else last.by
    context = {"section": stale.section, "stale": stale, "by": by, "at": last.at if last else None}
    return render(request, viewer, "stale.html", context, 409)
