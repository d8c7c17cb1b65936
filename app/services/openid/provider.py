"""The provider that people sign in with: where it is, what it answers, and what is made of it.

Everything that the provider says of itself comes from its discovery document, which is read again every hour.
"""

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
import structlog

from app.config import Settings
from app.errors import SignInFailed, SignInUnavailable
from app.services.openid.identity import Identity, find_claim, read_identity
from app.services.openid.requests import ask, read
from app.utils.caching import ReadCache
from app.utils.clock import utc_now
from app.utils.setting_urls import web_address

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

CALLBACK_PATH = "/sign-in/callback"
"""Where the provider sends people back to; it is registered there with the whole address."""
DISCOVERY_SECONDS = 3_600.0
MAX_AT_ONCE = 6
"""Sign-ins that may wait for the provider: while it hangs, other requests need most of the threads."""
MAX_SUBJECT_LENGTH = 255
DISCOVERY_PATH = "/.well-known/openid-configuration"

log = structlog.get_logger()


class Metadata(msgspec.Struct, frozen=True):
    """What the product uses of a provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool | None = None


class Started(NamedTuple):
    """A sign-in that has begun: what the browser keeps, encrypted, until the person comes back."""

    state: str
    nonce: str
    verifier: str
    """The secret half of PKCE: only who began can redeem the code."""
    target: str
    """Path to go to afterwards."""
    began_at: int
    """Seconds since 1970."""


class Provider:
    """The provider of the settings. Of its own words only error codes are shown: anybody could have sent a text."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer or ""
        self._proxy = settings.outgoing_proxy
        self._metadata = ReadCache(self._discover, DISCOVERY_SECONDS)
        self._keys = ReadCache(self._read_keys, DISCOVERY_SECONDS)
        self._slots = threading.BoundedSemaphore(MAX_AT_ONCE)

    @property
    def name(self) -> str:
        """What people know it by: `OIDC_NAME`, else the issuer's host."""
        return self._settings.oidc_name or urlsplit(self._issuer).hostname or ""

    @property
    def callback_url(self) -> str:
        """The whole address to register at the provider."""
        return self._settings.public_base_url + CALLBACK_PATH

    def start(self, target: str) -> tuple[str, Started]:
        """Begin a sign-in.

        Returns: the address to send the browser to, and what it keeps.
        Raises:  SignInUnavailable.
        """
        with self._slot():
            metadata = self._metadata.get()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        started = Started(state, nonce, verifier, target, int(utc_now().timestamp()))
        digest = hashlib.sha256(started.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self.callback_url,
            "scope": " ".join(self._scopes(metadata)),
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(query)}", started

    def finish(self, started: Started, answer: Mapping[str, str]) -> Identity:
        """Redeem the code that a person came back with.

        Args:    answer: the query of the address that the provider sent them to.
        Raises:  SignInFailed if it proves nothing; SignInUnavailable.
        """
        with self._slot():
            metadata = self._metadata.get()
            issuer = answer.get("iss")  # tells providers apart
            if issuer != metadata.issuer and (issuer or metadata.authorization_response_iss_parameter_supported):
                raise SignInFailed("the answer came from another issuer")
            if "code" not in answer:
                raise SignInFailed(f"it sent no code ({_error_code(answer)})")
            tokens = self._redeem(metadata, started, answer["code"])
            if not isinstance(token := tokens.get("id_token"), str):
                raise SignInFailed("its answer contains no ID token")
            claims = self._complete(metadata, self._check(metadata, token, started.nonce), tokens.get("access_token"))
        if len(claims["sub"]) > MAX_SUBJECT_LENGTH or not claims["sub"].isprintable():
            raise SignInFailed("it names the person by a text that no standard allows")
        return read_identity(claims, self._settings.oidc_groups_claim)

    def examine(self) -> None:
        """Read everything that a sign-in needs.

        Raises: SignInUnavailable.
        """
        self._keys.get(self._metadata.get().jwks_uri)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise SignInUnavailable("too many sign-ins wait for it")
        try:
            yield
        finally:
            self._slots.release()

    def _scopes(self, metadata: Metadata) -> list[str]:
        """Ask for groups by name where the provider knows that scope; others may reject the request for it."""
        known = metadata.scopes_supported or ()
        return ["openid", "profile", "email", *(["groups"] if "groups" in known else [])]

    def _discover(self) -> Metadata:
        document = read(self._proxy, self._issuer.rstrip("/") + DISCOVERY_PATH)
        try:
            metadata = msgspec.convert(document, Metadata)
        except msgspec.ValidationError as error:
            raise SignInUnavailable(f"its discovery document cannot be used: {error}") from None
        if metadata.issuer.rstrip("/") != self._issuer.rstrip("/"):
            raise SignInUnavailable("its discovery document names another issuer, see OIDC_ISSUER")
        addresses = metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri
        if not all(map(self._is_safe, (*addresses, metadata.userinfo_endpoint or self._issuer))):
            raise SignInUnavailable("its discovery document contains an address without TLS, or one that is none")
        return metadata

    def _is_safe(self, address: str) -> bool:
        """Return whether an address uses TLS, or is as local as the issuer."""
        try:
            secure = web_address(address).scheme == "https" or urlsplit(self._issuer).scheme == "http"
            return secure and address.isascii()
        except ValueError:
            return False

    def _read_keys(self, address: str) -> "KeySet":
        # Imported late: only a sign-in needs it.
        from app.services.openid.id_token import BadToken, read_keys

        try:
            return read_keys(read(self._proxy, address))
        except BadToken as error:
            raise SignInUnavailable(str(error)) from None

    def _check(self, metadata: Metadata, token: str, nonce: str) -> dict[str, Any]:
        """Check the ID token; with a key that is not known, read the keys once more."""
        from app.services.openid import id_token

        check = partial(
            id_token.check,
            token,
            issuer=metadata.issuer,
            client_id=self._settings.oidc_client_id or "",
            nonce=nonce,
            algorithms=metadata.id_token_signing_alg_values_supported or id_token.DEFAULT_ALGORITHMS,
            now=utc_now(),
        )
        try:
            try:
                return check(self._keys.get(metadata.jwks_uri))
            except id_token.UnknownKey:
                self._keys.clear()
                return check(self._keys.get(metadata.jwks_uri))
        except id_token.BadToken as error:
            raise SignInFailed(str(error)) from None

    def _redeem(self, metadata: Metadata, started: Started, code: str) -> dict[str, Any]:
        """Exchange the code for tokens."""
        secret = self._settings.oidc_client_secret
        login = self._settings.oidc_client_id or "", secret.get_secret_value() if secret is not None else ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback_url,
            "code_verifier": started.verifier,
        }
        if "client_secret_basic" in (metadata.token_endpoint_auth_methods_supported or ["client_secret_basic"]):
            options: dict[str, Any] = {"data": form, "auth": tuple(map(quote_plus, login))}
        else:
            options = {"data": form | {"client_id": login[0], "client_secret": login[1]}}
        status, answer = ask(self._proxy, "POST", metadata.token_endpoint, **options)
        code = _error_code(answer)
        if code in ("invalid_client", "unauthorized_client") or status == 401:
            raise SignInUnavailable(f"it refuses this client ({code}), see OIDC_CLIENT_ID and OIDC_CLIENT_SECRET")
        if code == "invalid_grant":
            raise SignInFailed("it does not accept the code: it was used, or is too old")
        if status != 200:
            where = urlsplit(metadata.token_endpoint).path
            raise SignInUnavailable(f"it answers {where} with {status} ({code})")
        return answer

    def _complete(self, metadata: Metadata, claims: dict[str, Any], token: Any) -> dict[str, Any]:
        """Add what the ID token lacks and the userinfo endpoint says.

        Raises: SignInUnavailable if groups could be there only, and it cannot be read: nobody loses access by that.
        """
        lacks_groups = find_claim(claims, self._settings.oidc_groups_claim) is None
        complete = not lacks_groups and claims.get("name") and claims.get("email")
        if complete or metadata.userinfo_endpoint is None or not isinstance(token, str) or not token.isascii():
            return claims
        try:
            more = read(self._proxy, metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {token}"})
        except SignInUnavailable as error:
            if lacks_groups:
                raise
            log.warning("the sign-in provider says no more of a person than the ID token", reason=str(error))
            return claims
        known = {name: value for name, value in claims.items() if value is not None}
        return more | known if more.get("sub") == claims["sub"] else claims


def _error_code(answer: Mapping[str, str]) -> str:
    """Return the provider's error code if it is one: what comes by way of the browser could be anybody's text."""
    code = answer.get("error", "")
    return code if re.fullmatch("[a-z_]{1,40}", code) else "and no reason"
