"""What happens around every request: its id, the check of its host, its headers, its measure, its line in the access
log, and the last net."""

import re
import time
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.config import Settings
from app.metrics import HTTP_DURATION

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:[0-9]{1,5})?")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not set its own."""
HSTS = "max-age=31536000"

log = structlog.get_logger()


class Hosts:
    """Which `Host` headers are ours.

    A page elsewhere can make a browser send us its own name as the host (DNS rebinding). Names with a dot are
    therefore listed; addresses and single words, which no public name server answers for, are always ours.
    """

    def __init__(self, settings: Settings) -> None:
        own = urlsplit(settings.public_base_url).hostname or ""
        self._names = {own.lower(), *settings.allowed_hosts}

    def allow(self, header: str) -> bool:
        """Say whether a request with this `Host` is for us."""
        found = HOST.fullmatch(header.lower())
        if found is None:
            return False
        name = found["name"] or found["address"]
        return "*" in self._names or name in self._names or "." not in name or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class RequestMiddleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = Hosts(settings)
        self._headers = dict(HEADERS)
        if settings.public_base_url.startswith("https://"):
            self._headers["Strict-Transport-Security"] = HSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        request_id = request_id if REQUEST_ID.fullmatch(request_id) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        await self._handle(scope, headers, receive, send, request_id)

    async def _handle(self, scope: Scope, headers: Headers, receive: Receive, send: Send, request_id: str) -> None:
        """Run the app; whatever happens in it, there is an answer, with our headers, and it is measured."""
        began, status = time.perf_counter(), 0
        is_head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if is_head else scope

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._response_headers(MutableHeaders(raw=message["headers"]), request_id)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            refusal = self._refuse(scope, headers)
            await (refusal or self._app)(inner, receive, send_response)
        except Exception as error:  # the last net: nothing reaches the server but an answer
            if status:
                raise
            await problems.internal_error(error)(inner, receive, send_response)
        finally:
            _note(inner, scope["method"], status, time.perf_counter() - began)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"].startswith("/webhooks/"):  # signed for PUBLIC_BASE_URL, whatever a proxy makes of the host
            return None
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._hosts.allow(hosts[0]):
            return None
        return problems.problem(400, "The Host header names no server of ours: see PUBLIC_BASE_URL and ALLOWED_HOSTS.")

    def _response_headers(self, headers: MutableHeaders, request_id: str) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers["X-Request-ID"] = request_id


def _note(scope: Scope, method: str, status: int, seconds: float) -> None:
    """Measure a request and log it, by the template of its route: paths and queries hold numbers and texts."""
    method = method if method in METHODS else "other"
    route = getattr(scope.get("route"), "path", "unmatched")
    status = status or 500
    HTTP_DURATION.labels(method, route, str(status)).observe(seconds)
    log.info(
        "request",
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        key_name=scope.get("state", {}).get("key_name"),
    )
