"""Authentication and authorization: API keys, scopes, rate limits."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Request, Security
from fastapi.security import APIKeyHeader
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.api.deps import check_query
from app.api.problems import Refused
from app.config import Settings
from app.database import session_scope
from app.enums import Scope
from app.services import keys
from app.utils.clock import utc_now

WRONG_KEYS_PER_MINUTE = RateLimitItemPerMinute(60)
TESTS_PER_MINUTE = RateLimitItemPerMinute(30)
MAX_CACHED_KEYS = 10_000
UNKNOWN_KEY = "The header X-API-Key must contain a valid key."
HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="ApiKey",
    auto_error=False,
    description="The `API_KEY` of the settings, or a key created by `POST /api/keys`.",
)


@dataclass(frozen=True)
class Principal:
    """The owner of a request's key."""

    id: str
    """The key's id; `bootstrap` for the `API_KEY` of the settings."""
    name: str
    """The name in the audit."""
    scope: Scope


class Limiter:
    """Limits calls per key, and wrong keys per address. Each process counts in its own memory."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._per_key = RateLimitItemPerMinute(settings.api_requests_per_minute)
        self._good: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def check_key(self, principal: Principal) -> None:
        """Count one call of a created key. The `API_KEY` of the settings has no limit."""
        if principal.id != "bootstrap":
            self.hit(
                self._per_key, principal.id, "Too many calls with this key; wait, or raise API_REQUESTS_PER_MINUTE."
            )

    def hit(self, limit: RateLimitItem, name: str, detail: str) -> None:
        """Count one event.

        Raises: Refused with 429 if the limit is reached.
        """
        if not self._limiter.hit(limit, name):
            raise self._too_many(limit, name, detail)

    def check_address(self, address: str, key: str) -> None:
        """Reject an address that sent too many wrong keys, except with keys that it used successfully before.

        If every valid key were accepted, guessing would continue at full speed. If none were, one guesser could lock
        out everyone behind the same address.
        """
        if (address, _digest(key)) not in self._good and not self._limiter.test(WRONG_KEYS_PER_MINUTE, address):
            raise self._too_many(
                WRONG_KEYS_PER_MINUTE, address, "This address has sent too many wrong keys; wait a minute."
            )

    def record_key(self, address: str, key: str, *, good: bool) -> None:
        """Remember whether a key was valid."""
        if not good:
            self._limiter.hit(WRONG_KEYS_PER_MINUTE, address)
            return
        self._good[address, _digest(key)] = None
        if len(self._good) > MAX_CACHED_KEYS:
            self._good.popitem(last=False)

    def _too_many(self, limit: RateLimitItem, name: str, detail: str) -> Refused:
        reset_at = self._limiter.get_window_stats(limit, name).reset_time
        wait = max(1, round(reset_at - utc_now().timestamp()))
        return Refused(429, detail, {"Retry-After": str(wait)})


def identify(request: Request, key: str | None) -> Principal | None:
    """Return the owner of the request's key; None if it has none or a wrong one.

    Raises: Refused with 429 if the key or the address is over its limit.
    """
    if not key or len(request.headers.getlist("x-api-key")) != 1:
        return None
    return principal_for(request, key)


def address_of(request: Request) -> str:
    """Return the address that a request came from, by which abuse is limited."""
    return request.client.host if request.client else "unknown"


def principal_for(request: Request, key: str) -> Principal | None:
    """Return the owner of a key, or None if it is wrong.

    Raises: Refused with 429 if the key or the address is over its limit.
    """
    limiter: Limiter = request.app.state.limiter
    address = address_of(request)
    limiter.check_address(address, key)
    principal = _find(request.app.state.settings, key)
    limiter.record_key(address, key, good=principal is not None)
    if principal is not None:
        limiter.check_key(principal)
        structlog.contextvars.bind_contextvars(caller=principal.id)
        request.state.key_name = principal.name
    return principal


def _find(settings: Settings, key: str) -> Principal | None:
    if hmac.compare_digest(_digest(key), _digest(settings.bootstrap_key)):
        return Principal("bootstrap", "API_KEY", Scope.ADMIN)
    if not keys.is_well_formed(key):
        return None
    with session_scope() as session:
        found = keys.find(session, key, utc_now())
        return None if found is None else Principal(str(found.id), f"{found.name} ({found.prefix})", Scope(found.scope))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def requires(scope: Scope) -> Callable[[Request, str | None], Principal]:
    """Create the dependency of a route that needs this scope. It checks the query only after the key."""

    def check(request: Request, key: Annotated[str | None, Security(HEADER)]) -> Principal:
        principal = identify(request, key)
        if principal is None:
            raise Refused(401, UNKNOWN_KEY, {"WWW-Authenticate": 'ApiKey realm="GiftPulse"'})
        if not principal.scope.includes(scope):
            raise Refused(403, f"This needs a key of the scope `{scope}`; this one has `{principal.scope}`.")
        check_query(request)
        return principal

    check.scope = scope  # type: ignore[attr-defined]  # for the test that checks every route
    return check


READ = [Security(requires(Scope.READ))]
ADMIN = [Security(requires(Scope.ADMIN))]
"""For routes that do not use the caller."""
Writer = Annotated[Principal, Security(requires(Scope.WRITE))]
Admin = Annotated[Principal, Security(requires(Scope.ADMIN))]


def optional_caller(request: Request, key: Annotated[str | None, Security(HEADER)]) -> Principal | None:
    """Return the caller of a route that needs no key, or None."""
    check_query(request)
    return identify(request, key)


OptionalCaller = Annotated[Principal | None, Security(optional_caller)]


def open_unless_closed(setting: str) -> Callable[[Request], None]:
    """Create the dependency of a public page. If the setting is false, the page needs a key."""
    needs_key = requires(Scope.READ)

    def check(request: Request) -> None:
        check_query(request)
        if not getattr(request.app.state.settings, setting):
            needs_key(request, request.headers.get("x-api-key"))

    return check
