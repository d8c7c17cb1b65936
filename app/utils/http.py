"""The only client for requests to user-chosen URLs. The guard sits where the socket opens.

A name is resolved once, every address is checked, and the socket opens to one of them. So redirects, changing DNS
answers and odd spellings are all covered. Proxies and `.netrc` of the environment are ignored. Connections are reused
only for the same host name, so that a certificate is checked for every name.

If the operator configures a proxy, the socket opens to the proxy, which resolves the name. Then the address is checked
before the request as far as it resolves here, and the proxy must enforce the rest.
"""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from itertools import takewhile
from typing import Any, Literal, Self, cast

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from multidict import CIMultiDict, MultiMapping

from app.utils.addresses import Network, check_url, may_reach
from app.utils.proxies import DIRECT, Proxy
from app.utils.tls import tls_context

DNS_SECONDS = 3.0
CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 2.0
"""Shorter than servers wait, so that none closes a connection at the moment of its reuse."""
MAX_BODY_BYTES = 4096
MAX_HEAD_BYTES = 64 * 1024
"""The part of a response head that is kept in case the library cannot parse it."""
STATUS_LINE = re.compile(rb"HTTP/\d{1,3}(?:\.\d{1,3})?[ \t]+(\d{3})(?=\s|\Z)")
"""The beginning of a status line of any version: the status decides even if the line has no end."""
INTERIM = re.compile(rb"(?:HTTP/\d{1,3}(?:\.\d{1,3})?[ \t]+1\d\d(?=\s)[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n\s*)+")
"""Interim responses such as `103 Early Hints`."""
NO_HTTP = "the connection broke, or the answer was no HTTP"
MAX_LOOKUPS = 64
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Reason = Literal["blocked", "dns", "connect", "tls", "timeout", "protocol"]
ResolvedAddresses = list[tuple[int, str]]
"""Pairs of address family and address."""
Lookup = Callable[[str, int], ResolvedAddresses]


@dataclass(frozen=True)
class Answer:
    """A server's response. It counts from the status line on, even if the body stalls."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; repeated values are joined with commas. Empty if they cannot be parsed."""
    body: bytes
    """The first 4 KiB, unchanged."""


class RequestFailed(Exception):
    """There was no response. The message gives the reason without the address."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForbiddenTarget(OSError):
    """The address is not allowed."""


def system_lookup(host: str, port: int) -> ResolvedAddresses:
    """Use the system's resolver; it may block for long."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), str(address[0])) for family, _, _, _, address in found]


class _Resolver(AbstractResolver):
    """Resolves names in threads that nobody waits for, and checks every address."""

    def __init__(self, allowed: Sequence[Network], lookup: Lookup) -> None:
        self._allowed = allowed
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(DNS_SECONDS):
                found = await _in_thread(lambda: self._lookup(host, port))
        except TimeoutError:
            raise OSError("the resolver does not answer") from None
        usable = dict.fromkeys((kind, address) for kind, address in found if family in (socket.AF_UNSPEC, kind))
        if not usable:
            raise OSError("no address")
        for _, address in usable:
            judge(address, self._allowed)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in usable
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def judge(address: str, allowed: Sequence[Network]) -> None:
    """Reject an address that is not allowed.

    Raises: ForbiddenTarget.
    """
    try:
        permitted = may_reach(ip_address(address), allowed)
    except ValueError:
        permitted = False
    if not permitted:
        raise ForbiddenTarget("a private, local or metadata address")


_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


async def _in_thread(work: Callable[[], ResolvedAddresses]) -> ResolvedAddresses:
    """Run a lookup in its own thread: a stuck one must block neither the event loop nor the process's exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResolvedAddresses] = loop.create_future()
    if not _lookups.acquire(blocking=False):
        raise OSError("the resolver does not answer")

    def settle(result: ResolvedAddresses | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result or [])
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except (OSError, UnicodeError) as failure:
            error = failure if isinstance(failure, OSError) else OSError("the name cannot be looked up")
        finally:
            _lookups.release()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return await future


class _HeadFirst(ResponseHandler):
    """Keeps the status of a response, even if the rest of its head or its body is invalid."""

    _head = b""
    """The beginning of the response to the latest request."""

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the response to the next request."""
        self._head = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Handle received data: the head first, then the rest."""
        self._head += data[: MAX_HEAD_BYTES - len(self._head)]
        head, separator, rest = data.partition(b"\r\n\r\n")
        super().data_received(head + separator)
        if rest:
            super().data_received(rest)

    def is_http(self) -> bool:
        """Return whether the response is HTTP: the library's parser also takes RTSP and ICE."""
        return self._head.lstrip().startswith(b"HTTP/")

    def answer(self) -> Answer | None:
        """Return the response as far as its head can be parsed; None if there is no status line."""
        head = self._head.lstrip()
        if interim := INTERIM.match(head):
            head = head[interim.end() :]
        found = STATUS_LINE.match(head)
        if found is None or found[1].startswith(b"1"):
            return None
        headers: CIMultiDict[str] = CIMultiDict()
        for line in takewhile(bytes.strip, head.splitlines()[1:]):
            name, separator, value = line.decode("latin-1").partition(":")
            if separator:
                headers.add(name, value.strip())
        return Answer(int(found[1]), _plain(headers), b"")


_protocol: ContextVar[list[_HeadFirst]] = ContextVar("_protocol")
"""Where this task's request stores the connection of its response."""


class _Response(aiohttp.ClientResponse):
    """The library's response; it reports its connection before it can fail."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        # A proxy's response to CONNECT is not the receiver's response.
        if self.method != "CONNECT" and isinstance(connection.protocol, _HeadFirst):
            _protocol.get().append(connection.protocol)
        return await super().start(connection)


class _Connector(aiohttp.TCPConnector):
    """The library's connector with connections that use `_HeadFirst`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(_HeadFirst, loop=asyncio.get_running_loop()))


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
        self._resolver = _Resolver(allowed, lookup)

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
            judge(str(address[0]), allowed)
            return socket.socket(family, kind, protocol)

        return aiohttp.ClientSession(
            response_class=_Response,
            connector=_Connector(
                limit=0,
                ssl=tls_context(),
                resolver=_Resolver(allowed, self._lookup),
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

    async def _judge(self, url: yarl.URL) -> None:
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
        used: list[_HeadFirst] = []
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
            return Answer(response.status, _plain(response.headers), await _read_prefix(response, ends_at))
        finally:
            response.close()

    async def _send(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request, directly or through the proxy, and wait for the head of its response."""
        proxy = self._proxy.for_url(str(url))
        if proxy is None:
            return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)
        await self._judge(url)
        response = await self._proxied.request(
            method, url, headers=headers, data=body, allow_redirects=False, proxy=yarl.URL(proxy)
        )
        if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            response.close()
            raise RequestFailed("connect", "the proxy asks for a user and password: see WEBHOOK_PROXY")
        return response


def _plain(headers: MultiMapping[str]) -> dict[str, str]:
    """Join repeated headers."""
    names = dict.fromkeys(name.lower() for name in headers)
    return {name: ", ".join(headers.getall(name)) for name in names}


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
