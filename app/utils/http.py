"""The only client for requests to user-chosen URLs. The guard checks the address when the socket opens.

A name is resolved once, every address is checked, and the socket opens to one of them. So redirects, changing DNS
answers and odd spellings are all covered. Proxies and `.netrc` of the environment are ignored. Connections are reused
only for the same host name, so that a certificate is checked for every name.

If the operator configures a proxy, the socket opens to the proxy, which resolves the name. Then the address is checked
before the request as far as it resolves here, and the proxy must enforce the rest.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, Literal, Self, cast

import aiohttp
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from app.utils.addresses import Network, check_url
from app.utils.proxies import DIRECT, Proxy
from app.utils.resolver import ForbiddenTarget, GuardedResolver, Lookup, require_allowed, system_lookup
from app.utils.response_head import Answer, HeadFirst, joined
from app.utils.tls import tls_context

CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 2.0
"""Shorter than servers wait, so that none closes a connection at the moment of its reuse."""
MAX_BODY_BYTES = 4096
NO_HTTP = "the connection broke, or the answer was no HTTP"
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Reason = Literal["blocked", "dns", "connect", "tls", "timeout", "protocol"]


class RequestFailed(Exception):
    """There was no response. The message gives the reason without the address."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_protocol: ContextVar[list[HeadFirst]] = ContextVar("_protocol")
"""Where this task's request stores the connection of its response."""


class _Response(aiohttp.ClientResponse):
    """The library's response; it reports its connection before it can fail."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        # A proxy's response to CONNECT is not the receiver's response.
        if self.method != "CONNECT" and isinstance(connection.protocol, HeadFirst):
            _protocol.get().append(connection.protocol)
        return await super().start(connection)


class _Connector(aiohttp.TCPConnector):
    """The library's connector with connections that use `HeadFirst`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(HeadFirst, loop=asyncio.get_running_loop()))


class GuardedClient:
    """Sends requests to public addresses and to those that the operator allows. Use it with `async with`."""

    def __init__(
        self,
        allowed: Sequence[Network],
        deadline_seconds: float,
        lookup: Lookup = system_lookup,
        proxy: Proxy = DIRECT,
    ) -> None:
        self._allowed = allowed
        self._deadline_seconds = deadline_seconds
        self._lookup = lookup
        self._proxy = proxy
        self._resolver = GuardedResolver(allowed, lookup)

    async def __aenter__(self) -> Self:
        self._session = self._open_session(self._allowed)
        # Its sockets open only to the proxy, which may be in a private network.
        self._proxied = self._open_session(EVERYWHERE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._proxied.close()

    def _open_session(self, allowed: Sequence[Network]) -> aiohttp.ClientSession:
        def open_socket(info: tuple[int, int, int, str, tuple[str | int, ...]]) -> socket.socket:
            family, kind, protocol, _, address = info
            require_allowed(str(address[0]), allowed)
            return socket.socket(family, kind, protocol)

        return aiohttp.ClientSession(
            response_class=_Response,
            connector=_Connector(
                limit=0,
                ssl=tls_context(),
                resolver=GuardedResolver(allowed, self._lookup),
                use_dns_cache=False,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                socket_factory=open_socket,
            ),
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def _check_address(self, url: yarl.URL) -> None:
        """Check an address before a request through a proxy. A name that does not resolve here is left to the proxy.

        Raises: ForbiddenTarget.
        """
        try:
            check_url(str(url), self._allowed)
        except ValueError:
            raise ForbiddenTarget("a private, local or metadata address") from None
        try:
            await self._resolver.resolve(url.host or "", url.port or 0)
        except ForbiddenTarget:
            raise
        except OSError:
            pass

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float | None = None
    ) -> Answer:
        """Send one request and read the beginning of its response. Redirects are not followed.

        From the status line on, the request counts as answered: repeating it would do the work twice.

        Args:   seconds: a deadline shorter than the client's.
        Raises: RequestFailed.
        """
        ends_at = asyncio.get_running_loop().time() + (self._deadline_seconds if seconds is None else seconds)
        used: list[HeadFirst] = []
        token = _protocol.set(used)
        try:
            async with asyncio.timeout_at(ends_at):
                response = await self._send(method, yarl.URL(url, encoded=True), headers, body)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            if used and (answer := used[-1].answer()) is not None:
                return answer
            raise _explain(error) from None
        finally:
            _protocol.reset(token)
        try:
            if not used[-1].is_http():
                raise RequestFailed("protocol", NO_HTTP)
            return Answer(response.status, joined(response.headers), await _read_prefix(response, ends_at))
        finally:
            response.close()

    async def _send(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request, directly or through the proxy, and wait for the head of its response."""
        proxy = self._proxy.for_url(str(url))
        if proxy is None:
            return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)
        await self._check_address(url)
        response = await self._proxied.request(
            method, url, headers=headers, data=body, allow_redirects=False, proxy=yarl.URL(proxy)
        )
        if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            response.close()
            raise RequestFailed("connect", "the proxy asks for a user and password: see WEBHOOK_PROXY")
        return response


async def _read_prefix(response: aiohttp.ClientResponse, ends_at: float) -> bytes:
    """Read the body's first bytes. Errors are ignored: the status is known."""
    read = b""
    try:
        async with asyncio.timeout_at(ends_at):
            while len(read) < MAX_BODY_BYTES and (chunk := await response.content.read(MAX_BODY_BYTES - len(read))):
                read += chunk
    except (OSError, aiohttp.ClientError):
        pass
    return read


def _explain(error: Exception) -> RequestFailed:
    """Describe a connection error without the address: the library's message contains it, and it may be secret."""
    causes = _causes(error)
    if any(isinstance(cause, ForbiddenTarget) for cause in causes):
        return RequestFailed("blocked", "the address is private, local or one of metadata: nothing was sent")
    if any(isinstance(cause, ssl.SSLError | ssl.CertificateError | aiohttp.ClientSSLError) for cause in causes):
        return RequestFailed("tls", "the server's certificate or TLS could not be accepted: nothing was sent")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RequestFailed("dns", "the host's name could not be looked up")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return RequestFailed("connect", f"the proxy refused the connection ({error.status}): see WEBHOOK_PROXY")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return RequestFailed("connect", "the proxy could not be reached: see WEBHOOK_PROXY")
    if isinstance(error, TimeoutError):
        return RequestFailed("timeout", "no answer came in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return RequestFailed("connect", "the connection could not be opened")
    return RequestFailed("protocol", NO_HTTP)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
