"""Request middleware: request id, host check, security headers, metrics, access log, last-resort errors."""

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
from app.utils.clock import start_request

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
HOST_PATTERN = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:[0-9]{1,5})?")
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
"""Added to every response that does not set its own."""
HSTS = "max-age=31536000"

log = structlog.get_logger()


class Hosts:
    """The `Host` headers that this server accepts.

    With DNS rebinding, another site's page makes a browser send that site's name as the host. Names with a dot must
    therefore be listed. Addresses and single words are always accepted: public name servers do not resolve them.
    """

    def __init__(self, settings: Settings) -> None:
        own = urlsplit(settings.public_base_url).hostname or ""
        self._names = {own.lower(), *settings.allowed_hosts}

    def allow(self, header: str) -> bool:
        """Whether the `Host` header names this server."""
        found = HOST_PATTERN.fullmatch(header.lower())
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
        if settings.is_https:
            self._headers["Strict-Transport-Security"] = HSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        request_id = request_id if REQUEST_ID_PATTERN.fullmatch(request_id) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        start_request()
        await self._handle(scope, headers, receive, send, request_id)

    async def _handle(self, scope: Scope, headers: Headers, receive: Receive, send: Send, request_id: str) -> None:
        """Run the app. Every request gets a response with our headers and is measured, even if the app fails."""
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
        except Exception as error:  # the last resort: the server only ever sees a response
            if status:
                raise
            await problems.internal_error(error)(inner, receive, send_response)
        finally:
            _note(inner, scope["method"], status, time.perf_counter() - began)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"].startswith("/webhooks/"):  # signed for PUBLIC_BASE_URL, even if a proxy rewrites the host
            return None
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._hosts.allow(hosts[0]):
            return None
        return problems.problem(
            400, "The Host header does not name this server: check PUBLIC_BASE_URL and ALLOWED_HOSTS."
        )

    def _response_headers(self, headers: MutableHeaders, request_id: str) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers["X-Request-ID"] = request_id


def _note(scope: Scope, method: str, status: int, seconds: float) -> None:
    """Measure a request and log it under its route's template: paths and queries may contain personal data."""
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
