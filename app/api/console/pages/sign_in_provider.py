"""Signing in with the organization's own provider: there, and back with a code."""

from hmac import compare_digest

import msgspec
import structlog
from fastapi import Request, Response
from limits import RateLimitItemPerMinute

from app.api.console import cookies
from app.api.console import session as sessions
from app.api.console.access import safe_next, set_session
from app.api.console.rendering import redirect
from app.api.console.routing import make_router, sign_in_page
from app.api.deps import settings_of
from app.api.problems import Refused
from app.api.security import address_of
from app.config import Settings
from app.database import session_scope
from app.errors import NotFound, SignInFailed, SignInUnavailable
from app.services import people
from app.services.openid.identity import Identity
from app.services.openid.provider import CALLBACK_PATH, Provider, Started
from app.utils.clock import utc_now
from app.utils.crypto import Undecryptable, decrypt, encrypt

router = make_router()
log = structlog.get_logger()

MAX_SECONDS = 600
"""How long a person may take at the provider."""
COOKIE_LETTERS = 12
"""Letters of the state in the cookie's name, so that sign-ins in two tabs do not disturb each other."""
SIGN_INS_PER_MINUTE = RateLimitItemPerMinute(60)
MAX_TARGET_LENGTH = 1_500
"""Browsers drop a cookie of more than 4,096 bytes."""
MAX_OPEN = 4
"""Sign-ins of one browser that may wait to be finished, beside a new one."""
NOT_OURS = "This sign-in was started in another browser, or more than ten minutes ago. Sign in again."


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotFound("nobody signs in here with a provider: OIDC_ISSUER is not set")
    return provider


def _cookie_name(settings: Settings, state: str) -> str:
    return cookies.bound_name(settings, f"giftpulse-sign-in-{state[:COOKIE_LETTERS]}")


def _limit(request: Request) -> None:
    """Limit what one address makes us ask of the provider. To start asks for nothing, once its document is known."""
    detail = "This address has signed in too often; wait a minute."
    request.app.state.limiter.hit(SIGN_INS_PER_MINUTE, f"provider:{address_of(request)}", detail)


@router.get("/sign-in/start")
def start(request: Request) -> Response:
    """Send a person to the provider."""
    settings, target = settings_of(request), _short(safe_next(request.query_params.get("next", "/")))
    try:
        address, started = _provider(request).start(target)
    except SignInUnavailable as error:
        return _failed(request, target, error, 502)
    answer = redirect(request, address)
    for name in [each for each in request.cookies if each.startswith(_cookie_name(settings, ""))][:-MAX_OPEN]:
        cookies.drop(answer, settings, name)
    kept = encrypt(settings.secret_keys, msgspec.json.encode(started).decode())
    cookies.keep(answer, settings, _cookie_name(settings, started.state), kept, MAX_SECONDS)
    return answer


@router.get(CALLBACK_PATH)
def come_back(request: Request) -> Response:
    """Start the session of a person whom the provider sent back."""
    provider, settings, query = _provider(request), settings_of(request), request.query_params
    started = _started(request, settings, query.get("state", ""))
    if started is None:
        return sign_in_page(request, "/", error=NOT_OURS, status=400)
    try:
        _limit(request)
    except Refused as error:
        return sign_in_page(request, started.target, error=error.detail, status=error.status)
    try:
        answer = _let_in(request, settings, started, provider.finish(started, query))
    except SignInFailed as error:
        answer = _failed(request, started.target, error, 403)
    except SignInUnavailable as error:
        answer = _failed(request, started.target, error, 502)
    cookies.drop(answer, settings, _cookie_name(settings, started.state))
    return answer


def _let_in(request: Request, settings: Settings, started: Started, identity: Identity) -> Response:
    now = utc_now()
    with session_scope() as database:
        person = people.sign_in(database, settings, identity, now)
        session = (
            None
            if person is None
            else sessions.person_session(people.key_id(person), person.mark, people.display_name(person), now)
        )
    if session is None:
        # The names of groups are the organization's own.
        log.warning("a person was not let in", groups=len(identity.groups), claim=settings.oidc_groups_claim)
        who = identity.address or identity.name
        error = f"{who} is in no group that may use GiftPulse. Ask its administrator for access."
        return sign_in_page(request, started.target, error=error, status=403)
    log.info("a person has signed in", caller=session.key_id)
    answer = redirect(request, started.target)
    set_session(answer, settings, session)
    return answer


def _short(target: str) -> str:
    """Return a target that fits into a cookie: without its filters, if it is too long with them."""
    path = target.partition("?")[0]
    return next((each for each in (target, path) if len(each) <= MAX_TARGET_LENGTH), "/")


def _started(request: Request, settings: Settings, state: str) -> Started | None:
    """Return the sign-in that this browser started with this state; None if there is none, or it took too long."""
    try:
        kept = decrypt(settings.secret_keys, request.cookies.get(_cookie_name(settings, state), ""))
        started = msgspec.json.decode(kept, type=Started)
    except (Undecryptable, msgspec.MsgspecError, UnicodeEncodeError):
        return None
    is_new = 0 <= utc_now().timestamp() - started.began_at <= MAX_SECONDS
    return started if is_new and compare_digest(started.state.encode(), state.encode()) else None


def _failed(request: Request, target: str, error: SignInFailed | SignInUnavailable, status: int) -> Response:
    name = _provider(request).name
    log.warning("a sign-in with the provider failed", reason=str(error))
    return sign_in_page(request, target, error=f"Signing in with {name} failed: {error}. Try again.", status=status)
