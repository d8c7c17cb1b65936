"""Access to pages: the session, its key, and the checks of every posted form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from string import punctuation
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from fastapi import Depends, Request, Response

from app.api.console import cookies
from app.api.console import session as sessions
from app.api.console.session import Session
from app.api.deps import read_body, settings_of
from app.api.json_guard import BIDI_OVERRIDES, text_error, trim_list
from app.api.problems import Refused
from app.api.security import Principal
from app.config import Settings
from app.database import session_scope
from app.enums import Scope
from app.services import console_sessions, keys, people
from app.utils.clock import utc_now
from app.utils.zones import is_zone

ZONE_COOKIE, THEME_COOKIE = "zone", "theme"
THEMES = ("light", "dark")
MAX_FIELDS = 1_000
UTC_ZONE = ZoneInfo("UTC")


class SignInNeeded(Exception):
    """The page needs a session, and the request has no valid one."""


class EarlierSession(Exception):
    """The form carries the token of another session: the person has signed in again since it was opened."""

    def __init__(self, viewer: "Viewer", form: "Form") -> None:
        super().__init__("This form is not from this session, so nothing was changed.")
        self.viewer = viewer
        self.form = form


@dataclass(frozen=True)
class Viewer:
    """A signed-in person, and how they want to see times and colors."""

    session: Session
    principal: Principal
    signed_at: datetime
    zone: ZoneInfo
    zone_is_known: bool
    """False: times are UTC because the person's zone is not known."""
    theme: str | None

    @property
    def is_person(self) -> bool:
        """Whether the session is of a person of the sign-in provider, and not of an API key."""
        return people.is_key_id(self.session.key_id)

    @property
    def name(self) -> str:
        """The name, without a person's address."""
        return self.session.name.rpartition(" (")[0] if self.is_person else self.session.name

    def may(self, scope: Scope) -> bool:
        """Check the scope of the key that the session was made from, or of the person."""
        return self.principal.scope.includes(scope)


def cookie_name(settings: Settings) -> str:
    """Return the name of the session's cookie, which is bound to this host with HTTPS."""
    return cookies.bound_name(settings, "giftpulse")


def set_session(response: Response, settings: Settings, session: Session) -> None:
    """Set the session's cookie, and note that the session was seen."""
    with session_scope() as database:
        now = utc_now()
        console_sessions.note(database, session.nonce, session.key_id, session.name, session.ends_at(now), now)
    seconds = int(session.lifetime.total_seconds()) if session.remember else None
    cookies.keep(response, settings, cookie_name(settings), sessions.sign(settings.secret_keys, session), seconds)


def clear_session(response: Response, settings: Settings) -> None:
    """Delete the session's cookie."""
    cookies.drop(response, settings, cookie_name(settings))


def find_viewer(request: Request) -> Viewer | None:
    """Find the viewer; None without a valid session, or if it was signed out or its key revoked."""
    settings = settings_of(request)
    cookie = request.cookies.get(cookie_name(settings))
    found = sessions.read(settings.secret_keys, cookie, utc_now()) if cookie else None
    if found is None:
        return None
    return view_as(request, *found)


def view_as(request: Request, session: Session, signed_at: datetime) -> Viewer | None:
    """Return the viewer of a session; None if it was signed out or its key revoked."""
    principal = _principal(settings_of(request), session)
    if principal is None:
        return None
    structlog.contextvars.bind_contextvars(caller=principal.id)
    zone = request.cookies.get(ZONE_COOKIE, "")
    known = is_zone(zone)
    return Viewer(session, principal, signed_at, ZoneInfo(zone) if known else UTC_ZONE, known, theme_of(request))


def theme_of(request: Request) -> str | None:
    """Return the colors that were chosen on this device; None: as the system has them."""
    theme = request.cookies.get(THEME_COOKIE)
    return theme if theme in THEMES else None


def _principal(settings: Settings, session: Session) -> Principal | None:
    with session_scope() as database:
        if keys.is_signed_out(database, session.nonce):
            return None
        if people.is_key_id(session.key_id):
            person = people.find(database, session.key_id, session.key_mark, settings.oidc_issuer)
            scope = None if person is None else people.current_scope(person, settings)
            return None if scope is None else Principal(session.key_id, session.name, scope)
        if settings.passwordless_only:
            return None
        if session.key_id == "bootstrap":
            marks = (sessions.key_mark([key], settings.bootstrap_key) for key in settings.secret_keys)
            return Principal("bootstrap", session.name, Scope.ADMIN) if session.key_mark in marks else None
        key = keys.find_active(database, UUID(session.key_id), utc_now())
        return None if key is None else Principal(str(key.id), f"{session.name} ({key.prefix})", Scope(key.scope))


def viewer(request: Request) -> Viewer:
    """Return the viewer.

    Raises: SignInNeeded.
    """
    found = find_viewer(request)
    if found is None:
        raise SignInNeeded
    return found


SignedIn = Annotated[Viewer, Depends(viewer)]


def need_scope(who: Viewer, scope: Scope) -> None:
    """Reject a request that the key's scope does not allow.

    Raises: Refused with 403.
    """
    if not who.may(scope):
        whose, other = ("You have", "a group that has it") if who.is_person else ("Your key has", "a key that has it")
        raise Refused(403, f"{whose} the scope {who.principal.scope}. This needs {scope}: ask for {other}.")


@dataclass(frozen=True)
class Form:
    """The fields of a posted form, in their order."""

    fields: Sequence[tuple[str, str]]

    def get(self, name: str, default: str = "") -> str:
        """Return a field, without the spaces around it."""
        return next((value.strip() for key, value in self.fields if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a repeated field."""
        return [value for key, value in self.fields if key == name]

    def typed(self) -> Mapping[str, str]:
        """Return what a person typed, to show it again."""
        return {name: value for name, value in self.fields if name != "csrf"}


async def read_form(request: Request) -> Form:
    """Read a posted form.

    Raises: Refused with 413, 415 or 422.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_body(request)
    if body and content_type != "application/x-www-form-urlencoded":
        raise Refused(415, "A form must be sent as application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="surrogateescape"
        )
    except ValueError:
        raise Refused(422, f"A form may have {MAX_FIELDS} fields at most.") from None
    fields = [(name, _clean(name, value.replace("\r\n", "\n"))) for name, value in pairs]
    if fault := next((fault for name, value in fields if (fault := text_error(name + value))), None):
        raise Refused(422, f"The form cannot be read: a field {fault}.")
    return Form(fields)


def _clean(name: str, value: str) -> str:
    """Remove bidirectional control characters from a note, and from the ends of the values of other fields."""
    if name == "note":
        return BIDI_OVERRIDES.sub("", value)
    return "\n".join(map(trim_list, value.split("\n"))) if BIDI_OVERRIDES.search(value) else value


PostedForm = Annotated[Form, Depends(read_form)]


def check_origin(request: Request) -> None:
    """Reject a form that another site posted. Only browsers name an origin; for others the token decides.

    Raises: Refused with 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    allowed = site == "same-origin" if site is not None else origin is None or _is_ours(request, origin)
    if not allowed:
        raise Refused(403, "This form came from another site, so nothing was changed.")


def _is_ours(request: Request, origin: str) -> bool:
    settings = settings_of(request)
    own = urlsplit(settings.public_base_url)
    sent = urlsplit(origin)
    return bool(sent.netloc) and sent.netloc.lower() in (own.netloc.lower(), request.headers.get("host", "").lower())


def posted_by(scope: Scope) -> Callable[[Request, Viewer, Form], Viewer]:
    """Create the dependency of a route with a form that needs this scope."""

    def check(request: Request, who: SignedIn, form: PostedForm) -> Viewer:
        check_origin(request)
        settings = settings_of(request)
        if not sessions.is_csrf_token(settings.secret_keys, who.session, form.get("csrf")):
            raise EarlierSession(who, form)
        need_scope(who, scope)
        return who

    check.scope = scope  # type: ignore[attr-defined]  # for the test of all routes
    return check


ANY_SCOPE = Depends(posted_by(Scope.READ))
"""For routes that do not use the viewer."""
AnyScope = Annotated[Viewer, Depends(posted_by(Scope.READ))]
Writer = Annotated[Viewer, Depends(posted_by(Scope.WRITE))]
Admin = Annotated[Viewer, Depends(posted_by(Scope.ADMIN))]


def safe_next(target: str) -> str:
    """Return the address to go to after sign-in, if it is a path of this console; else the overview."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_path = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return quote(target, safe=punctuation) if is_path and not parts.scheme and not parts.netloc else "/"
