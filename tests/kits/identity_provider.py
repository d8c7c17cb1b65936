"""A provider of OpenID Connect, as strict as the standard: a code holds once, for one client, address and verifier."""

import asyncio
import base64
import hashlib
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from scripts.local.processes import LOOPBACK
from tests.kits.receivers import Answer, Receiver, Request, http_receiver, respond

CLIENT_ID, CLIENT_SECRET = "gift pulse", "secret of the+client"  # characters that are written differently in a form
CALLBACK = "http://localhost:8000/sign-in/callback"
ANN: dict[str, Any] = {
    "sub": "ann-7",
    "name": "Ann Lee",
    "email": "ann@example.com",
    "email_verified": True,
    "groups": ["on-call", "everyone"],
}
_RSA: list[Key] = [RSAKey.generate_key(2048, {"kid": name, "use": "sig"}) for name in ("first", "second")]
_EC: Key = ECKey.generate_key("P-256", {"kid": "curve"})
KEYS: dict[str, Key] = {"first": _RSA[0], "second": _RSA[1], "curve": _EC}


@dataclass
class IdentityProvider:
    """What it says can be changed at any time."""

    receiver: Receiver | None = None
    person: dict[str, Any] = field(default_factory=lambda: dict(ANN))
    """The claims of whoever signs in."""
    in_token: tuple[str, ...] | None = None
    """Which of them the ID token contains; None: all. The userinfo endpoint tells all."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Claims of the ID token that are set; None takes one away."""
    document: dict[str, Any] = field(default_factory=dict)
    """Fields of the discovery document that are set; None takes one away."""
    signs_with: str = "first"
    algorithm: str = "RS256"
    published: list[str] = field(default_factory=lambda: ["first"])
    more_keys: list[Any] = field(default_factory=list)
    broken: dict[str, Answer] = field(default_factory=dict)
    """How paths, such as `token`, answer instead."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    sends: dict[str, str | None] = field(default_factory=dict)
    """Fields of the answer to a sign-in that are set; None takes one away."""

    @property
    def issuer(self) -> str:
        assert self.receiver is not None
        return f"{self.receiver.scheme}://{LOOPBACK}:{self.receiver.port}/realm"

    def asked(self, path: str) -> list[Request]:
        """The requests that came for a path."""
        assert self.receiver is not None
        return [each for each in self.receiver.requests if urlsplit(each.target).path == f"/realm/{path}"]

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        path = urlsplit(request.target).path.removeprefix("/realm/")
        if path in self.broken:
            await self.broken[path](request, writer)
            return
        status, headers, content = self._answers(path, request)
        await respond(status, orjson.dumps(content), Content_Type="application/json", **headers)(request, writer)

    def _answers(self, path: str, request: Request) -> tuple[int, dict[str, str], Any]:
        if path == ".well-known/openid-configuration":
            return 200, {}, self._document()
        if path == "keys":
            return 200, {}, {"keys": [*(KEYS[name].as_dict(private=False) for name in self.published), *self.more_keys]}
        if path == "authorize":
            return self._authorize(request)
        if path == "token":
            return self._redeem(request)
        if path == "userinfo" and request.headers.get("authorization") == "Bearer access":
            return 200, {}, self.person
        return 404, {}, {"error": "not_found"}

    def _document(self) -> dict[str, Any]:
        endpoints = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            "userinfo_endpoint": "userinfo",
        }
        document = {
            "issuer": self.issuer,
            **{name: f"{self.issuer}/{path}" for name, path in endpoints.items()},
            "id_token_signing_alg_values_supported": [self.algorithm],
            "scopes_supported": ["openid", "email", "profile", "groups"],
        }
        return {name: value for name, value in (document | self.document).items() if value is not None}

    def _authorize(self, request: Request) -> tuple[int, dict[str, str], Any]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        assert asked["response_type"] == "code"
        assert (asked["client_id"], asked["redirect_uri"]) == (CLIENT_ID, CALLBACK)
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        said = {"code": code, "state": asked["state"], "iss": self.issuer} | self.sends
        query = urlencode({name: value for name, value in said.items() if value is not None})
        return 302, {"Location": f"{CALLBACK}?{query}"}, {}

    def _redeem(self, request: Request) -> tuple[int, dict[str, str], Any]:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if self._login(request, form) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {}, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or form["redirect_uri"] != CALLBACK:
            return 400, {}, {"error": "invalid_grant"}
        return 200, {}, {"access_token": "access", "token_type": "Bearer", "id_token": self._token(asked["nonce"])}

    @staticmethod
    def _login(request: Request, form: dict[str, str]) -> tuple[str, ...]:
        if "authorization" not in request.headers:
            return form.get("client_id", ""), form.get("client_secret", "")
        login = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        return tuple(map(unquote_plus, login.split(":")))

    def _token(self, nonce: str) -> str:
        now = int(time.time())
        person = {name: self.person[name] for name in self.in_token or self.person}
        claims = person | {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {name: value for name, value in (claims | self.changed).items() if value is not None}
        if self.algorithm == "none":
            parts = ({"alg": "none"}, claims)
            return ".".join(base64.urlsafe_b64encode(orjson.dumps(each)).rstrip(b"=").decode() for each in parts) + "."
        if self.algorithm == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET), algorithms=["HS256"])
        return jwt.encode({"alg": self.algorithm, "kid": self.signs_with}, claims, KEYS[self.signs_with])


@contextmanager
def identity_provider(tls: ssl.SSLContext | None = None) -> Iterator[IdentityProvider]:
    """A provider on a port of its own."""
    provider = IdentityProvider()
    with http_receiver(provider.answer, tls=tls) as provider.receiver:
        yield provider
