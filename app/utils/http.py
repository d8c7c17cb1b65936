"""The one client for requests to addresses that a user chose. The guard sits where the socket opens.

A name is looked up once, every address it leads to is judged, and the socket opens to one of those: redirects, answers
of DNS that change, and odd spellings all pass here. Proxies and `.netrc` of the environment are not asked. Connections
are kept for one host name alone, so that a certificate is checked against each name that is used.
"""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from itertools import takewhile
from typing import Any, Literal, Self, cast

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from multidict import CIMultiDict, MultiMapping

from app.utils.addresses import Network, may_reach

DNS_SECONDS = 3.0
CONNECT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 2.0
"""Shorter than servers wait, so that none closes a connection just as we use it."""
KEPT_BYTES = 4096
LONGEST_HEAD = 64 * 1024
"""What is kept of a head in case the library cannot read it."""
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
INTERIM = re.compile(rb"\A(?:HTTP/1\.1 1\d\d[^\n]*\n.*?\r?\n\r?\n)+", re.DOTALL)
"""Answers such as `103 Early Hints`, before the one that counts."""
LOOKUPS_AT_ONCE = 64

Reason = Literal["blocked", "dns", "connect", "tls", "timeout", "protocol"]
Found = list[tuple[int, str]]
"""Address families and addresses."""
Lookup = Callable[[str, int], Found]


@dataclass(frozen=True)
class Answer:
    """What a server answered; a body that stalls after its status is what came of it."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; the values of one that came more than once, by commas. Empty where they cannot be read."""
    body: bytes
    """The first 4 KiB, as they came over the wire."""


class RequestFailed(Exception):
    """There is no answer. The message says why, in words without the address."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForbiddenTarget(OSError):
    """The address must not be reached."""


@lru_cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context: certificates are checked against the system's store or `SSL_CERT_FILE`."""
    return ssl.create_default_context()


def system_lookup(host: str, port: int) -> Found:
    """Ask the system's resolver; it may block for long."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), str(address[0])) for family, _, _, _, address in found]


class _Resolver(AbstractResolver):
    """Looks names up in threads that nobody waits for, and judges every address they lead to."""

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
    """Refuse an address that must not be reached.

    Raises: ForbiddenTarget.
    """
    try:
        permitted = may_reach(ip_address(address), allowed)
    except ValueError:
        permitted = False
    if not permitted:
        raise ForbiddenTarget("a private, local or metadata address")


_lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)


async def _in_thread(work: Callable[[], Found]) -> Found:
    """Run a lookup in a thread of its own: one that is stuck must stop neither the loop nor the process's end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Found] = loop.create_future()
    if not _lookups.acquire(blocking=False):
        raise OSError("the resolver does not answer")

    def settle(result: Found | None, error: BaseException | None) -> None:
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
    """Keeps the status of an answer, whatever is wrong with the rest of its head or with its body."""

    _head = b""
    """The beginning of the answer to the latest request."""

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the answer to one more request."""
        self._head = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came in: the head by itself, then the rest."""
        self._head += data[: LONGEST_HEAD - len(self._head)]
        head, mark, rest = data.partition(b"\r\n\r\n")
        super().data_received(head + mark)
        if rest:
            super().data_received(rest)

    def answer(self) -> Answer | None:
        """Return what the head says as far as it can be read; None where no status line has come."""
        head = INTERIM.sub(b"", self._head)
        found = STATUS_LINE.match(head)
        if found is None or found[1].startswith(b"1"):
            return None
        headers: CIMultiDict[str] = CIMultiDict()
        for line in takewhile(bytes.strip, head.splitlines()[1:]):
            name, mark, value = line.decode("latin-1").partition(":")
            if mark:
                headers.add(name, value.strip())
        return Answer(int(found[1]), _plain(headers), b"")


_protocol: ContextVar[list[_HeadFirst]] = ContextVar("_protocol")
"""Where the request of this task puts the connection that its answer comes over."""


class _Response(aiohttp.ClientResponse):
    """The library's response, which says which connection it is read from before it can fail."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        if isinstance(connection.protocol, _HeadFirst):
            _protocol.get().append(connection.protocol)
        return await super().start(connection)


class _Connector(aiohttp.TCPConnector):
    """The library's connector, whose connections read as `_HeadFirst` does."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(_HeadFirst, loop=asyncio.get_running_loop()))


class GuardedClient:
    """Sends requests to public addresses, and to those that the operator allows. Use it as `async with`."""

    def __init__(self, allowed: Sequence[Network], deadline_seconds: float, lookup: Lookup = system_lookup) -> None:
        self._allowed = allowed
        self._deadline_seconds = deadline_seconds
        self._lookup = lookup

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            response_class=_Response,
            connector=_Connector(
                limit=0,
                ssl=tls_context(),
                resolver=_Resolver(self._allowed, self._lookup),
                use_dns_cache=False,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                socket_factory=self._open_socket,
            ),
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def _open_socket(self, info: tuple[int, int, int, str, tuple[str | int, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        judge(str(address[0]), self._allowed)
        return socket.socket(family, kind, protocol)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request and read the beginning of its answer; redirects are not followed.

        Once a status line has come it is the answer, whatever follows: sending again would do the work twice.

        Raises: RequestFailed.
        """
        ends_at = asyncio.get_running_loop().time() + self._deadline_seconds
        used: list[_HeadFirst] = []
        token = _protocol.set(used)
        try:
            async with asyncio.timeout_at(ends_at):
                response = await self._session.request(
                    method, yarl.URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
                )
        except (OSError, aiohttp.ClientError, ValueError) as error:
            if used and (answer := used[-1].answer()) is not None:
                return answer
            raise _explain(error) from None
        finally:
            _protocol.reset(token)
        try:
            return Answer(response.status, _plain(response.headers), await _beginning(response, ends_at))
        finally:
            response.close()


def _plain(headers: MultiMapping[str]) -> dict[str, str]:
    """Join what came more than once."""
    names = dict.fromkeys(name.lower() for name in headers)
    return {name: ", ".join(headers.getall(name)) for name in names}


async def _beginning(response: aiohttp.ClientResponse, ends_at: float) -> bytes:
    """Read the body's first bytes; what stops them is of no matter, the status has come."""
    read = b""
    try:
        async with asyncio.timeout_at(ends_at):
            while len(read) < KEPT_BYTES and (chunk := await response.content.read(KEPT_BYTES - len(read))):
                read += chunk
            if response.content.at_eof():
                response.release()
    except (OSError, aiohttp.ClientError):
        pass
    return read


def _explain(error: Exception) -> RequestFailed:
    """Say what went wrong in our words: the library's name the address, and may name what its owner keeps secret."""
    causes = _causes(error)
    if any(isinstance(cause, ForbiddenTarget) for cause in causes):
        return RequestFailed("blocked", "the address is private, local or one of metadata: nothing was sent")
    if any(isinstance(cause, ssl.SSLError | ssl.CertificateError | aiohttp.ClientSSLError) for cause in causes):
        return RequestFailed("tls", "the server's certificate or TLS could not be accepted: nothing was sent")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RequestFailed("dns", "the host's name could not be looked up")
    if isinstance(error, TimeoutError):
        return RequestFailed("timeout", "no answer came in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return RequestFailed("connect", "the connection could not be opened")
    return RequestFailed("protocol", "the connection broke, or the answer was no HTTP")


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
