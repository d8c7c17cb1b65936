"""A TCP proxy that misbehaves on demand: delays, freezes, refuses, and cuts connections, even within an answer."""

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Self

from scripts.local.processes import LOOPBACK
from tests.kits.waiting import PATIENCE_SECONDS

CHUNK = 65_536
POLL_INTERVAL_SECONDS = 0.02
RESET = struct.pack("ii", 1, 0)
"""A socket that lingers for no second is closed with a reset."""


@dataclass
class Proxy:
    """Listens on a loopback port and passes everything on to another one, as well as its mood allows."""

    target: int
    latency_seconds: float = 0.0
    frozen: bool = False
    """It takes connections and bytes, and passes nothing on until it thaws."""
    refuses: bool = False
    """It resets whoever connects."""
    cuts_after_bytes: int | None = None
    """It resets a connection once so many bytes of answers have passed."""
    cuts_at: bytes | None = None
    """It resets a connection in whose answer this comes, and keeps that answer to itself."""
    lets_pass: int = 0
    """How many of those answers pass before."""
    connections: int = 0
    port: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, LOOPBACK, 0), self._loop
        ).result(PATIENCE_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset all connections."""

        async def cut() -> None:
            for writer in list(self._open):
                _reset(writer)

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(PATIENCE_SECONDS)

    def behave(self) -> None:
        """Be a good proxy again."""
        self.latency_seconds, self.frozen, self.refuses, self.cuts_after_bytes = 0.0, False, False, None

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._open):
            _reset(writer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._open.add(writer)
        try:
            if self.refuses:
                _reset(writer)
                return
            there_reader, there_writer = await asyncio.open_connection(LOOPBACK, self.target)
            self._open.add(there_writer)
            try:
                await asyncio.gather(
                    self._pass_on(reader, there_writer, answers=False),
                    self._pass_on(there_reader, writer, answers=True),
                )
            finally:
                self._open.discard(there_writer)
                there_writer.close()
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            while self.frozen:  # noqa: ASYNC110  # it is set from other threads
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
            limit = self.cuts_after_bytes
            if answers and limit is not None and passed + len(data) > limit:
                writer.write(data[: max(limit - passed, 0)])
                with contextlib.suppress(OSError):
                    await asyncio.wait_for(writer.drain(), 1)
                raise ConnectionResetError
            if answers and self.cuts_at is not None and self.cuts_at in data:
                self.lets_pass -= 1
                if self.lets_pass < 0:
                    self.cuts_at = None
                    raise ConnectionResetError
            passed += len(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection as a machine does that knows nothing of it any more."""
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
