"""People who sign in with the organization's own provider: recorded, found, listed, signed out."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import Scope
from app.errors import NotFound
from app.models import ConsoleSession, Person
from app.services import console_sessions
from app.services.console_sessions import MAX_LISTED
from app.services.openid.identity import Grants, Identity, scope_of
from app.services.paging import Page, Position, read_page
from app.services.serializers import session_json
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

KEY_PREFIX = "person:"
"""A session of a person has this and their id in place of the id of an API key."""
MARK_BYTES = 12
KEPT = timedelta(days=90)
"""After their last sign-in. Their sessions ended long before."""
SORT_KEY = (Person.signed_in_at, Person.id)


def grants(settings: Settings) -> Grants:
    """Return the groups of each scope, the widest scope first."""
    return (
        (Scope.ADMIN, settings.oidc_admin_groups),
        (Scope.WRITE, settings.oidc_write_groups),
        (Scope.READ, settings.oidc_read_groups),
    )


def sign_in(session: Session, settings: Settings, identity: Identity, now: datetime) -> Person | None:
    """Record a person as the provider describes them now.

    Returns: None if no group of theirs has a scope. A stranger leaves no trace; who was known loses access at once.
    """
    scopes = grants(settings)
    named = {group for _, groups in scopes for group in groups}
    described = {
        "name": identity.name,
        "address": identity.address,
        "groups": sorted(named & identity.groups),
        "signed_in_at": now,
    }
    if scope_of(identity.groups, scopes) is None:
        whom = Person.issuer == settings.oidc_issuer, Person.subject == identity.subject
        session.execute(update(Person).where(*whom).values(groups=[]))
        return None
    row = insert(Person).values(
        issuer=settings.oidc_issuer, subject=identity.subject, mark=_new_mark(), created_at=now, **described
    )
    known = row.on_conflict_do_update(index_elements=["issuer", "subject"], set_=described).returning(Person)
    return session.scalars(known, execution_options={"populate_existing": True}).one()


def key_id(person: Person) -> str:
    """Return what a session of a person has in place of the id of an API key."""
    return f"{KEY_PREFIX}{person.id}"


def is_key_id(text: str) -> bool:
    """Return whether a session has a person, and not an API key."""
    return text.startswith(KEY_PREFIX)


def find(session: Session, key: str, mark: str, issuer: str | None) -> Person | None:
    """Return the person of a session; None if they were signed out, or are another issuer's."""
    person = session.get(Person, UUID(key.removeprefix(KEY_PREFIX)))
    return person if person is not None and (person.mark, person.issuer) == (mark, issuer) else None


def display_name(person: Person) -> str:
    """Return the name and address, as acknowledgements and the audit show them."""
    return f"{person.name} ({person.address or person.subject})"


def current_scope(person: Person, settings: Settings) -> Scope | None:
    """Return the person's scope by the settings of now; None if none of their groups has one."""
    return scope_of(frozenset(person.groups), grants(settings))


def list_people(session: Session, position: Position | None, limit: int) -> Page[Person]:
    """List the people who ever signed in, the last sign-in first."""
    return read_page(session, select(Person), SORT_KEY, position, limit)


class Described(NamedTuple):
    """A person, and what holds for them now."""

    id: UUID
    name: str
    address: str | None
    scope: Scope | None
    groups: Sequence[str]
    signed_in_at: datetime
    sessions: Sequence[ConsoleSession]


def describe(session: Session, listed: Sequence[Person], settings: Settings, now: datetime) -> list[Described]:
    """Describe people by the settings of now, with their open sessions."""
    sessions = console_sessions.open_sessions(session, [key_id(person) for person in listed], now)
    shown = []
    for each in listed:
        scope = current_scope(each, settings) if each.issuer == settings.oidc_issuer else None
        opened = sessions.get(key_id(each), [])[:MAX_LISTED]
        shown.append(Described(each.id, each.name, each.address, scope, each.groups, each.signed_in_at, opened))
    return shown


def person_json(person: Described) -> JsonObject:
    """Serialize a person."""
    return {
        "id": str(person.id),
        "name": person.name,
        "address": person.address,
        "scope": person.scope,
        "groups": list(person.groups),
        "signed_in_at": rfc3339(person.signed_in_at),
        "sessions": list(map(session_json, person.sessions)),
    }


def sign_out(session: Session, person_id: UUID) -> Person:
    """End all sessions of a person on all devices. They may sign in again.

    Raises: NotFound.
    """
    person = session.get(Person, person_id, with_for_update=True)
    if person is None:
        raise NotFound(f"there is no person {person_id}")
    person.mark = _new_mark()
    console_sessions.end_all(session, key_id(person))
    session.flush()
    return person


def delete_absent(session: Session, now: datetime) -> None:
    """Delete people who have not signed in for a long time. The audit still names them."""
    session.execute(delete(Person).where(Person.signed_in_at < now - KEPT))


def _new_mark() -> str:
    return secrets.token_urlsafe(MARK_BYTES)
