"""The provider that people sign in with: where it is, what it answers, and what is made of it.

Everything that the provider says of itself comes from its discovery document, which is read again every hour.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
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
    authorization_response_iss_parameter_supported: bool = False


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
    """The provider of the settings. Its own words are logged, never shown: they come by way of the browser."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self._settings, self._clock = settings, clock
        self._issuer = settings.oidc_issuer or ""
        self._proxy = settings.outgoing_proxy
        self._metadata = ReadCache(self._discover, DISCOVERY_SECONDS)
        self._keys = ReadCache(self._read_keys, DISCOVERY_SECONDS)

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
        metadata = self._metadata.get()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        started = Started(state, nonce, verifier, target, int(self._clock().timestamp()))
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
        metadata = self._metadata.get()
        issuer = answer.get("iss")  # tells providers apart
        if issuer != metadata.issuer and (issuer or metadata.authorization_response_iss_parameter_supported):
            raise SignInFailed("the answer came from another issuer")
        if "code" not in answer:
            raise SignInFailed(f"it sent no code ({_error_code(answer)})")
        tokens = self._redeem(metadata, started, answer["code"])
        if not isinstance(token := tokens.get("id_token"), str):
            raise SignInFailed("its answer contains no ID token")
        claims = self._check(metadata, token, started.nonce)
        if self._is_incomplete(claims):
            claims = self._userinfo(metadata, claims, tokens.get("access_token")) | claims
        return read_identity(claims, self._settings.oidc_groups_claim)

    def examine(self) -> None:
        """Read everything that a sign-in needs.

        Raises: SignInUnavailable.
        """
        self._keys.get(self._metadata.get().jwks_uri)

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
            return web_address(address).scheme == "https" or urlsplit(self._issuer).scheme == "http"
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
            now=self._clock(),
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
        if answer.get("error") == "invalid_client" or status == 401:
            raise SignInUnavailable("it does not accept this client, see OIDC_CLIENT_ID and OIDC_CLIENT_SECRET")
        if status == 400:
            raise SignInFailed("it does not accept the code: it was used, or is too old")
        if status != 200:
            raise SignInUnavailable(f"it answers {urlsplit(metadata.token_endpoint).path} with {status}")
        return answer

    def _is_incomplete(self, claims: Mapping[str, Any]) -> bool:
        """Return whether the ID token lacks what the userinfo endpoint may add."""
        wants_groups = find_claim(claims, self._settings.oidc_groups_claim) is None
        return wants_groups or not claims.get("name") or not claims.get("email")

    def _userinfo(self, metadata: Metadata, claims: Mapping[str, Any], token: Any) -> dict[str, Any]:
        """Ask for more about the person; nothing where the provider does not tell."""
        if metadata.userinfo_endpoint is None or not isinstance(token, str) or not token.isascii():
            return {}
        try:
            more = read(self._proxy, metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {token}"})
        except SignInUnavailable as error:
            log.warning("the sign-in provider says no more of a person than the ID token", reason=str(error))
            return {}
        return more if more.get("sub") == claims["sub"] else {}


def _error_code(answer: Mapping[str, str]) -> str:
    """Return the provider's error code if it is one: what comes by way of the browser could be anybody's text."""
    code = answer.get("error", "")
    return code if re.fullmatch("[a-z_]{1,40}", code) else "and no reason"
