"""Resolves names for the guarded client: in threads that nobody waits for, and to allowed addresses only."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from app.utils.addresses import Network, may_reach

DNS_SECONDS = 3.0
MAX_LOOKUPS = 64
ResolvedAddresses = list[tuple[int, str]]
"""Pairs of address family and address."""
Lookup = Callable[[str, int], ResolvedAddresses]


class ForbiddenTarget(OSError):
    """The address is not allowed."""


def system_lookup(host: str, port: int) -> ResolvedAddresses:
    """Use the system's resolver; it may block for long."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), str(address[0])) for family, _, _, _, address in found]


class GuardedResolver(AbstractResolver):
    """Resolves names, and checks every address."""

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
            require_allowed(address, self._allowed)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in usable
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def require_allowed(address: str, allowed: Sequence[Network]) -> None:
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
