"""Real servers at the other end: an HTTP receiver and a mail server. They remember what came and answer as told."""

import asyncio
import ssl
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.kits.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def respond(status: int, body: bytes = b"ok", **headers: str) -> Answer:
    """Answer at once."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *lines])
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()

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
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

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


@dataclass
class Mailbox:
    """A mail server. `codes` maps a stage (`MAIL`, an address, `DATA`) to the replies it gives in turn."""

    codes: dict[str, list[str]] = field(default_factory=dict)
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    """Recipient and mail, in the order they were accepted."""
    logins: list[tuple[str, str]] = field(default_factory=list)
    password: str | None = None
    slow: float = 0.0
    port: int = 0

    def to(self, recipient: str) -> list[EmailMessage]:
        return [mail for address, mail in self.mails if address == recipient]

    def _reply(self, stage: str) -> str:
        replies = self.codes.get(stage, [])
        return (replies.pop(0) if len(replies) > 1 else replies[0]) if replies else "250 OK"

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self._reply("MAIL")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._reply(address)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = cast("bytes", envelope.content)
        await asyncio.sleep(self.slow)
        reply = self._reply("DATA")
        if reply.startswith(("2", "drop")):
            mail = message_from_bytes(content, policy=policy.default)
            self.mails += [(address, mail) for address in envelope.rcpt_tos]
        if reply.startswith("drop"):
            assert server.transport is not None
            server.transport.close()
        return reply

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = cast("LoginPassword", data)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password.decode() == self.password, handled=False)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
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
def http_receiver(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver(list(answers) or [respond(200)], scheme="https" if tls else "http")
    with _loop() as loop:

        async def start() -> asyncio.Server:
            return await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        receiver.port = server.sockets[0].getsockname()[1]
        try:
            yield receiver
        finally:
            loop.call_soon_threadsafe(server.close)


@contextmanager
def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that does as it likes; the answer is its port."""
    with _loop() as loop:

        async def start() -> asyncio.Server:
            return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            loop.call_soon_threadsafe(server.close)


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, **fields: Any) -> Iterator[Mailbox]:
    """A mail server on a port of its own; with `tls` it offers STARTTLS, with a `password` it asks for a login."""
    mailbox = Mailbox(**fields)
    with _loop() as loop:

        def protocol() -> SMTP:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a login in clear is what some tests are about
                return SMTP(
                    mailbox,
                    hostname="mail.test",
                    tls_context=tls,
                    authenticator=mailbox.authenticate,
                    auth_required=mailbox.password is not None,
                    auth_require_tls=False,
                    loop=loop,
                )

        async def start() -> asyncio.Server:
            return await loop.create_server(protocol, "127.0.0.1", 0)

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        mailbox.port = server.sockets[0].getsockname()[1]
        try:
            yield mailbox
        finally:
            loop.call_soon_threadsafe(server.close)
