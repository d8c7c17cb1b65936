"""Real web servers at the other end. They remember what came, and answer as told."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from scripts.local.processes import LOOPBACK
from tests.kits.loops import loop_in_thread, serve


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def respond(status: int, body: bytes = b"ok", **headers: str) -> Answer:
    """Answer at once."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *lines])
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


def decide(status: Callable[[Request], int]) -> Answer:
    """Answer with the status that a function gives at once."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await respond(status(request))(request, writer)

    return answer


def respond_when(ready: Callable[[], bool], status: int = 200) -> Answer:
    """Answer once something has become true."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        while not ready():  # noqa: ASYNC110  # what changes lives in another thread
            await asyncio.sleep(0.02)
        await respond(status)(request, writer)

    return answer


def respond_after(seconds: float, status: int = 200) -> Answer:
    """Answer late, as slow receivers do."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await respond(status)(request, writer)

    return answer


def respond_and_close(status: int) -> Answer:
    """Answer as if the connection stayed open, and close it."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await respond(status)(request, writer)
        writer.close()

    return answer


def echo(status: int) -> Answer:
    """Answer with what came, as some receivers do."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        said = f"you sent {request.target} {request.headers} ".encode() + request.body
        await respond(status, said)(request, writer)

    return answer


def say(raw: bytes, *, then_wait: float = 0.0) -> Answer:
    """Write raw bytes, wait, and hang up."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        await asyncio.sleep(then_wait)
        writer.close()

    return answer


async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer nothing for as long as anybody waits."""
    # The loop keeps a timer, and with it this task: one that waits for an event of its own may be collected.
    await asyncio.sleep(86_400)


def drip(start: bytes, each: bytes, *, every: float, times: int | None = None) -> Answer:
    """Write a beginning, and then a little at a time, for as long as anybody reads where `times` is not given."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(times) if times is not None else count():
            writer.write(each)
            await writer.drain()
            await asyncio.sleep(every)
        writer.close()

    return answer


@dataclass
class Receiver:
    """An HTTP server: `answers` are given in turn, the last one for ever."""

    answers: list[Answer] = field(default_factory=lambda: [respond(200)])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read(reader):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                await answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@contextmanager
def http_receiver(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver(list(answers) or [respond(200)], scheme="https" if tls else "http")
    with (
        loop_in_thread() as loop,
        serve(loop, lambda: asyncio.start_server(receiver.serve, LOOPBACK, 0, ssl=tls, limit=2**20)) as port,
    ):
        receiver.port = port
        yield receiver


@contextmanager
def raw_server(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """A server that does as it likes; the answer is its port."""
    with (
        loop_in_thread() as loop,
        serve(loop, lambda: asyncio.start_server(connected, LOOPBACK, 0, ssl=tls)) as port,
    ):
        yield port
