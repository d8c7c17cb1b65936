"""Who calls, and what they may do: keys, scopes, and how often."""

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
UNKNOWN_KEY = "The header X-API-Key must hold a valid key."
HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="ApiKey",
    auto_error=False,
    description="The `API_KEY` of the settings, or a key made by `POST /api/keys`.",
)


@dataclass(frozen=True)
class Principal:
    """Whose key a request carries."""

    id: str
    """The key's id; `bootstrap` for the one of the settings."""
    name: str
    """What the audit calls them."""
    scope: Scope


class Limiter:
    """How often each key may call, and how often an address may try wrong keys. Lives in the memory of one process."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._per_key = RateLimitItemPerMinute(settings.api_requests_per_minute)
        self._good: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def check_key(self, principal: Principal) -> None:
        """Count one call of a key that was made. The administrator's own is never shut out."""
        if principal.id != "bootstrap":
            self.hit(
                self._per_key, principal.id, "This key has called too often; wait, or raise API_REQUESTS_PER_MINUTE."
            )

    def hit(self, limit: RateLimitItem, name: str, detail: str) -> None:
        """Count one event.

        Raises: Refused with 429 where the limit is reached.
        """
        if not self._limiter.hit(limit, name):
            raise self._too_many(limit, name, detail)

    def check_address(self, address: str, key: str) -> None:
        """Turn an address away that has tried too many wrong keys, but for the keys that were right from there before.

        Were every right key let in, guessing would go on at full speed; were none, one guesser could shut out all who
        share the address.
        """
        if (address, _digest(key)) not in self._good and not self._limiter.test(WRONG_KEYS_PER_MINUTE, address):
            raise self._too_many(
                WRONG_KEYS_PER_MINUTE, address, "This address has sent too many wrong keys; wait a minute."
            )

    def record_key(self, address: str, key: str, *, good: bool) -> None:
        """Remember how a key fared."""
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
    """Find out whose key this is; None where there is none, or it is wrong.

    Raises: Refused with 429 where the key, or the address, has called too often.
    """
    if not key or len(request.headers.getlist("x-api-key")) != 1:
        return None
    return principal_for(request, key)


def principal_for(request: Request, key: str) -> Principal | None:
    """Find out whose key this is, wherever it was sent; None where it is wrong.

    Raises: Refused with 429 where the key, or the address, has called too often.
    """
    limiter: Limiter = request.app.state.limiter
    address = request.client.host if request.client else "unknown"
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
    """Make the dependency of a route that needs this scope. The query is looked at only for those who may ask."""

    def check(request: Request, key: Annotated[str | None, Security(HEADER)]) -> Principal:
        principal = identify(request, key)
        if principal is None:
            raise Refused(401, UNKNOWN_KEY, {"WWW-Authenticate": 'ApiKey realm="GiftPulse"'})
        if not principal.scope.includes(scope):
            raise Refused(403, f"This needs a key of the scope `{scope}`; this one has `{principal.scope}`.")
        check_query(request)
        return principal

    check.scope = scope  # type: ignore[attr-defined]  # for the test that goes over every route
    return check


READ = [Security(requires(Scope.READ))]
ADMIN = [Security(requires(Scope.ADMIN))]
"""For routes that need not know who calls."""
Writer = Annotated[Principal, Security(requires(Scope.WRITE))]
Admin = Annotated[Principal, Security(requires(Scope.ADMIN))]


def optional_caller(request: Request, key: Annotated[str | None, Security(HEADER)]) -> Principal | None:
    """Find out who calls, where a key is not needed."""
    check_query(request)
    return identify(request, key)


OptionalCaller = Annotated[Principal | None, Security(optional_caller)]


def open_unless_closed(setting: str) -> Callable[[Request], None]:
    """Make the dependency of a page that is open to everybody unless a setting closes it: then it needs a key."""
    needs_key = requires(Scope.READ)

    def check(request: Request) -> None:
        check_query(request)
        if not getattr(request.app.state.settings, setting):
            needs_key(request, request.headers.get("x-api-key"))

    return check
