"""The simulator on a socket: a small HTTP/1.1 server that can also misbehave below HTTP."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self

from scripts.twilio_simulator import control, page
from scripts.twilio_simulator.http import Request, Response
from scripts.twilio_simulator.simulator import Simulator

HEAD_BYTES = 64 * 1024
BODY_BYTES = 16 * 1024 * 1024
TICK_SECONDS = 0.1
"""How often due actions run without requests: callbacks depend on it."""


class SimulatorServer:
    """Serves a simulator from a thread: `with SimulatorServer(simulator) as server: server.url`."""

    def __init__(self, simulator: Simulator, port: int = 0, host: str = "127.0.0.1") -> None:
        """Prepare; port 0 is any free port."""
        self.simulator, self.host, self.port = simulator, host, port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="twilio-simulator", daemon=True)

    @property
    def url(self) -> str:
        """The base URL of both api.twilio.com and monitor.twilio.com."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Listen.

        Raises: OSError: the port is not available.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        """Listen."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(_converse(self.simulator, reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        try:
            server = await asyncio.start_server(accept, self.host, self.port, limit=HEAD_BYTES)
        except OSError as error:
            self._failure = error
            return
        finally:
            self._loop.call_soon(self._ready.set)
        self.port = server.sockets[0].getsockname()[1]
        while not await self._stopped_within(TICK_SECONDS):
            self.simulator.settle()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()


async def _converse(simulator: Simulator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after another."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while request := await _read(reader, writer):
            if not await _answer(simulator, request, writer):
                break
    writer.close()


async def _answer(simulator: Simulator, request: Request, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; return whether the connection may continue."""
    if request.path == "/":
        return await _write(writer, request, page.show(simulator), simulator.clock.now())
    if control.concerns(request):
        return await _write(writer, request, control.answer(simulator, request), simulator.clock.now())
    simulator.in_flight += 1
    try:
        response = simulator.handle(request)
        await asyncio.sleep(response.delay_seconds)
        return await _write(writer, request, response, simulator.clock.now())
    finally:
        simulator.in_flight -= 1


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Read the next request; None if it is not HTTP or too large."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])
        }
        length = int(headers.get("content-length", "0"))
    except (asyncio.LimitOverrunError, ValueError):
        return None
    if not 0 <= length <= BODY_BYTES or "transfer-encoding" in headers:
        return None
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, target, headers, await reader.readexactly(length))


async def _write(writer: asyncio.StreamWriter, request: Request, response: Response, now: datetime) -> bool:
    """Send a response; return whether the connection may continue."""
    if response.reset:
        _reset(writer)
        return False
    body = response.body if response.cut_at_bytes is None else response.body[: response.cut_at_bytes]
    close = (
        response.cut_at_bytes is not None
        or response.stream is not None
        or request.headers.get("connection", "").lower() == "close"
    )
    body = b"" if request.method == "HEAD" else body
    middle = len(body) // 2 if response.stall_seconds else len(body)
    writer.write(_head(response, close, now) + body[:middle])
    await writer.drain()
    await asyncio.sleep(response.stall_seconds)
    writer.write(body[middle:])
    await writer.drain()
    for chunk in response.stream or _nothing():
        writer.write(chunk)
        await writer.drain()
    return not close


def _head(response: Response, close: bool, now: datetime) -> bytes:
    headers = {"Date": format_datetime(now, usegmt=True), **response.headers}
    if response.stream is None:
        headers["Content-Length"] = str(len(response.body))
    if close:
        headers["Connection"] = "close"
    lines = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _nothing() -> Iterator[bytes]:
    return iter(())


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
