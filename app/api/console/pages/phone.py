"""Signing in a phone: a QR code with an address that works once, within five minutes.

People of the sign-in provider get the address of the sign-in page: on the phone they sign in as everywhere.
"""

from fastapi import Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import session as sessions
from app.api.console.access import AnyScope, PostedForm, SignedIn, Viewer, check_origin, set_session
from app.api.console.flash import Flash
from app.api.console.links import link
from app.api.console.plots import qr
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.api.problems import Refused
from app.database import session_scope
from app.services import console_state
from app.services.console_state import SignIn
from app.utils.clock import utc_now

router = make_router()
USED_UP = "This code was used, or is older than five minutes. Make another one."


@router.get("/phone")
def show_phone(request: Request, viewer: SignedIn) -> Response:
    """Explain the QR code, and offer to create one."""
    if viewer.is_person:
        return _show(request, viewer, f"{settings_of(request).public_base_url}/sign-in")
    return render(request, viewer, "phone.html", {"section": "settings", "code": None, "address": ""})


def _show(request: Request, viewer: Viewer, address: str) -> Response:
    context = {"section": "settings", "code": qr.draw(address), "address": address}
    return render(request, viewer, "phone.html", context)


@router.post("/phone")
def make_code(request: Request, viewer: AnyScope) -> Response:
    """Create a code and show it once."""
    settings = settings_of(request)
    session = viewer.session
    if viewer.is_person:
        raise Refused(403, "A code stands for an API key. Open the sign-in page on the phone, and sign in there.")
    with session_scope() as database:
        token = console_state.create_token(database, SignIn(session.key_id, session.key_mark, session.name), utc_now())
        AuditedChange(database, viewer.principal, f"key:{session.key_id}").record("key.phone", None)
    # No redirect: only this response contains the code.
    return _show(request, viewer, link(f"{settings.public_base_url}/sign-in/phone", code=token))


@router.get("/sign-in/phone")
def show_sign_in(request: Request) -> Response:
    """Ask before signing in: link previews must not use up the code."""
    code = request.query_params.get("code", "")
    return render(request, None, "phone_sign_in.html", {"code": code, "error": "" if code else USED_UP})


@router.post("/sign-in/phone")
def sign_in(request: Request, form: PostedForm) -> Response:
    """Start a session of 30 days with the scope of the key that made the code."""
    check_origin(request)
    settings = settings_of(request)
    if settings.passwordless_only:
        error = f"People sign in here with {request.app.state.provider.name}: open the sign-in page."
        return render(request, None, "phone_sign_in.html", {"code": "", "error": error}, 403)
    with session_scope() as database:
        found = console_state.use_token(database, form.get("code"), utc_now())
    if found is None:
        return render(request, None, "phone_sign_in.html", {"code": "", "error": USED_UP}, 401)
    answer = redirect(request, "/", Flash("This phone is signed in for 30 days."))
    set_session(answer, settings, sessions.new_session(found.key_id, found.key_mark, found.name, remember=True))
    return answer
