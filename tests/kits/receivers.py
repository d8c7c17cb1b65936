"""Receivers with a ledger: a mail server and a web server that keep what came, and fail as told."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from scripts.local.processes import LOOPBACK, free_port


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class WebReceiver:
    """A web server on a loopback port. `answer` may be replaced at any time; it says the status for a request."""

    answer: Callable[[Received], int] = lambda request: 200
    ledger: list[Received] = field(default_factory=list)
    """All requests, those that were answered badly, too."""

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.command, self.path, headers, body)
                receiver.ledger.append(received)
                self.send_response(receiver.answer(received))
                self.send_header("content-length", "0")
                self.end_headers()

            do_PUT = do_PATCH = do_POST  # noqa: N815  # the library's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}/hook"


@dataclass
class MailReceiver:
    """A mail server on a loopback port. `answer` says what becomes of a mail to a recipient."""

    answer: Callable[[str], str] = lambda recipient: "250 OK"
    ledger: list[tuple[str, EmailMessage]] = field(default_factory=list)
    """Recipient and mail, of those that were taken."""
    port: int = field(default_factory=free_port)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # the library's name
        answer = self.answer(envelope.rcpt_tos[0])
        if answer.startswith("250"):
            content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
            mail = message_from_bytes(content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.ledger += [(recipient, mail) for recipient in envelope.rcpt_tos]
        return answer

    def __enter__(self) -> Self:
        self._controller = Controller(self, hostname=LOOPBACK, port=self.port)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
