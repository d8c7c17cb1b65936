"""Servers that live in the test: their event loop runs in a thread of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.kits.waiting import PATIENCE_SECONDS


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for transport in list(asyncio.get_running_loop()._transports.values()):  # type: ignore[attr-defined]
        transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)  # closed connections are let go in the next turns


@contextmanager
def serve(loop: asyncio.AbstractEventLoop, start: Callable[[], Awaitable[asyncio.Server]]) -> Iterator[int]:
    """Start a server on a loop; the answer is its port."""

    async def started() -> asyncio.Server:
        return await start()

    server = asyncio.run_coroutine_threadsafe(started(), loop).result(PATIENCE_SECONDS)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
