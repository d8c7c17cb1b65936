"""A real mail server at the other end. It remembers what came, and answers as told."""

import asyncio
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from scripts.local.processes import LOOPBACK
from tests.kits.loops import loop_in_thread, serve


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
    to_data: Callable[[], str] = lambda: "250 OK"
    """Gives the reply to a mail's content where `codes` has none."""

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
        reply = self._reply("DATA") if "DATA" in self.codes else self.to_data()
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
def mail_server(tls: ssl.SSLContext | None = None, **fields: Any) -> Iterator[Mailbox]:
    """A mail server on a port of its own; with `tls` it offers STARTTLS, with a `password` it asks for a login."""
    mailbox = Mailbox(**fields)
    with loop_in_thread() as loop:

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

        with serve(loop, lambda: loop.create_server(protocol, LOOPBACK, 0)) as port:
            mailbox.port = port
            yield mailbox
