"""Signing in with an API key, and out."""

from functools import partial

from fastapi import Request, Response

from app.api.console import kept_form
from app.api.console import session as sessions
from app.api.console.access import (
    AnyScope,
    PostedForm,
    check_origin,
    clear_session,
    find_viewer,
    safe_next,
    set_session,
    view_as,
)
from app.api.console.rendering import HEADERS, redirect
from app.api.console.routing import make_router, sign_in_page
from app.api.deps import settings_of
from app.api.problems import Refused
from app.api.security import principal_for
from app.database import session_scope
from app.services import console_sessions, keys
from app.utils.clock import utc_now

router = make_router()
NOT_YET = "You have not signed in yet. Sign in first, then send what you typed."
NO_KEYS = "People sign in here with {}, not with a key."
WRONG_KEY = "This is not a valid API key. Check that it is whole, or ask for another one."


@router.get("/sign-in")
def show_sign_in(request: Request) -> Response:
    """Ask for a key; redirect people who are signed in."""
    target = safe_next(request.query_params.get("next", "/"))
    if find_viewer(request) is not None:
        return Response(status_code=303, headers={**HEADERS, "Location": target})
    return sign_in_page(request, target)


@router.post("/sign-in")
def sign_in(request: Request, form: PostedForm) -> Response:
    """Start a session for a valid key."""
    check_origin(request)
    settings = settings_of(request)
    target, remember = safe_next(form.get("next", "/")), bool(form.get("remember"))
    # Parentheses are for what we add: nobody imitates a person of the sign-in provider, with their address.
    name = form.get("name").replace("(", "").replace(")", "")
    kept_path, kept = kept_form.read(form)
    ask = partial(sign_in_page, request, target, name=name, remember=remember, kept_path=kept_path, kept=kept)
    sends_kept = kept_form.takes_forms(request, kept_path)
    if sends_kept and not form.get("key"):
        viewer = find_viewer(request)
        return kept_form.ask_again(request, viewer, kept_path, kept) if viewer else ask(error=NOT_YET, status=401)
    if settings.passwordless_only:
        return ask(error=NO_KEYS.format(request.app.state.provider.name), status=403)
    try:
        principal = principal_for(request, form.get("key"))
    except Refused as error:
        return ask(error=error.detail, status=error.status)
    if principal is None:
        return ask(error=WRONG_KEY, status=401)
    is_bootstrap = principal.id == "bootstrap"
    mark = sessions.key_mark(settings.secret_keys, settings.bootstrap_key) if is_bootstrap else ""
    default = "administrator" if is_bootstrap else principal.name.rpartition(" (")[0]
    session = sessions.new_session(principal.id, mark, name or default, remember=remember)
    answer = redirect(request, target)
    if sends_kept and (viewer := view_as(request, session, utc_now())):
        answer = kept_form.ask_again(request, viewer, kept_path, kept)
    set_session(answer, settings, session)
    return answer


@router.post("/sign-out")
def sign_out(request: Request, viewer: AnyScope) -> Response:
    """End the session, also for copies of its cookie."""
    with session_scope() as session:
        keys.sign_out(session, viewer.session.nonce, utc_now())
        console_sessions.forget(session, viewer.session.nonce)
    answer = redirect(request, "/sign-in")
    clear_session(answer, settings_of(request))
    return answer
