"""Mail servers: what is said to them, and what their answers mean."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from app.actions.base import Envelope, Receipt, SendError
from app.actions.email import Email
from app.actions.sample import sample_notifications
from app.utils.tls import tls_context
from tests.integration.actions.conftest import Configure
from tests.kits.mailboxes import Mailbox, mail_server
from tests.kits.receivers import raw_server


def send(configure: Configure, port: int, count: int = 1, **changes: Any) -> list[Receipt]:
    plain: dict[str, Any] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_from": "GiftPulse <alerts@example.com>",
        "smtp_security": "none",
    }
    kind = Email(configure(**plain | changes))
    config = kind.check({"recipients": ["ops@example.com"]})
    notification = sample_notifications()[0]

    def envelope(number: int) -> Envelope:
        return Envelope(
            delivery_id=f"d{number}",
            alert_id="a1",
            type=notification.type,
            recipient="ops@example.com",
            content=kind.render(config, notification).content,
            created_at=notification.timestamp,
        )

    async def all_of_them() -> list[Receipt]:
        async with kind.connected() as sender:
            return [await sender.send(config, envelope(number)) for number in range(count)]

    return asyncio.run(all_of_them())


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """A server's context for 127.0.0.1 whose authority the product trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    yield context
    tls_context.cache_clear()


def test_a_mail_and_its_login_go_over_starttls(configure: Configure, tls: ssl.SSLContext) -> None:
    with mail_server(tls, password="right") as mailbox:
        [receipt] = send(
            configure, mailbox.port, smtp_security="starttls", smtp_user="me", smtp_password=SecretStr("right")
        )
        assert receipt.status_code == 250
        assert mailbox.logins == [("me", "right")]
        assert len(mailbox.mails) == 1


def test_a_server_without_starttls_gets_neither_mail_nor_login(configure: Configure) -> None:
    with mail_server(password="right") as mailbox:
        with pytest.raises(SendError, match="STARTTLS"):
            send(configure, mailbox.port, smtp_security="starttls", smtp_user="me", smtp_password=SecretStr("right"))
        assert (mailbox.logins, mailbox.mails) == ([], [])


def test_a_certificate_that_nobody_vouches_for_gets_nothing(configure: Configure) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with mail_server(context) as mailbox:
        with pytest.raises(SendError, match="certificate"):
            send(configure, mailbox.port, smtp_security="starttls")
        assert mailbox.mails == []


def test_a_refused_login_is_an_error_of_the_settings(configure: Configure) -> None:
    with mail_server(password="right") as mailbox:
        with pytest.raises(SendError, match="SMTP_USER and SMTP_PASSWORD") as refused:
            send(configure, mailbox.port, smtp_user="me", smtp_password=SecretStr("wrong-password"))
        assert refused.value.status_code == 535
        assert "wrong-password" not in str(refused.value) + refused.value.response
        assert mailbox.mails == []


def talkative(mechanism: str, refuses: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A mail server that repeats all it has heard, and refuses one step."""
    refusals = {"AUTH": 535, "RCPT": 550, "DATA": 554}
    taken = {"AUTH": 235, "QUIT": 221}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard: list[str] = ["me@mail.example s3cret-pass"]
        writer.write(b"220 ready\r\n")
        while line := (await reader.readline()).decode().strip():
            heard.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO":
                writer.write(f"250-mail.test\r\n250 AUTH {mechanism}\r\n".encode())
                continue
            for _ in range(2 - len(line.split()[2:]) if line.startswith("AUTH LOGIN") else 0):
                writer.write(b"334 more\r\n")
                heard.append((await reader.readline()).decode().strip())
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            code = refusals[verb] if verb == refuses else taken.get(verb, 250)
            writer.write(f"{code} {' '.join(heard)}\r\n".encode())
        writer.close()

    return serve


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("refuses", ["AUTH", "RCPT", "DATA", ""])
def test_a_server_that_repeats_what_it_heard_gives_neither_login_nor_recipient_away(
    configure: Configure, mechanism: str, refuses: str
) -> None:
    login: dict[str, Any] = {"smtp_user": "me@mail.example", "smtp_password": SecretStr("s3cret-pass")}
    with raw_server(talkative(mechanism, refuses)) as port:
        if refuses:
            with pytest.raises(SendError) as refused:
                send(configure, port, **login)
            said = f"{refused.value} {refused.value.response}"
        else:
            said = send(configure, port, **login)[0].response
    assert f"AUTH {mechanism}" in said
    for secret in ("me@mail.example", "s3cret-pass", "\0me@mail.example\0s3cret-pass", "ops@example.com"):
        assert secret not in said
        assert b64encode(secret.encode()).decode().rstrip("=") not in said


def test_a_server_without_logins_is_named_as_the_cause(configure: Configure) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        while (await reader.readline()).startswith(b"EHLO"):
            writer.write(b"250 mail.test\r\n")
        writer.close()

    with raw_server(serve) as port, pytest.raises(SendError, match="offers no login: check SMTP_USER"):
        send(configure, port, smtp_user="me", smtp_password=SecretStr("right"))


def test_a_login_is_not_sent_in_clear_to_another_machine(configure: Configure) -> None:
    with pytest.raises(SendError, match="SMTP_SECURITY"):
        send(configure, 25, smtp_host="mail.example.com", smtp_user="me", smtp_password=SecretStr("secret"))


def test_without_a_host_no_mail_can_be_sent_and_that_is_said(configure: Configure) -> None:
    with pytest.raises(SendError, match="SMTP_HOST") as refused:
        send(configure, 25, smtp_host=None)
    assert refused.value.permanent


@pytest.mark.parametrize(
    ("codes", "permanent", "words"),
    [
        ({"MAIL": ["451 later"]}, False, "sender"),
        ({"MAIL": ["550 not you"]}, True, "SMTP_FROM"),
        ({"ops@example.com": ["450 busy"]}, False, "recipient"),
        ({"ops@example.com": ["550 unknown"]}, True, "recipient"),
        ({"ops@example.com": ["421 closing"]}, False, "recipient"),
        ({"DATA": ["452 full"]}, False, "mail"),
        ({"DATA": ["552 too big"]}, True, "mail"),
        ({"DATA": ["554 spam"]}, True, "mail"),
    ],
)
def test_a_reply_says_whether_to_try_again(
    configure: Configure, codes: dict[str, list[str]], permanent: bool, words: str
) -> None:
    with mail_server(codes=codes) as mailbox:
        with pytest.raises(SendError, match=words) as refused:
            send(configure, mailbox.port)
        assert refused.value.permanent is permanent
        assert str(refused.value.status_code) in next(iter(codes.values()))[0]


STAGES = ["banner", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "end of data"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [421, 451, 550, 552, 554])
def test_a_reply_at_any_stage_says_whether_to_try_again_and_nothing_follows_it(
    configure: Configure, stage: str, code: int
) -> None:
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take everything but one stage."""
        plain = {"banner": 220, "DATA": 354, "AUTH": 235}
        offers = "".join(f"250-{each}\r\n" for each in ("mail.test", "STARTTLS", "AUTH PLAIN"))
        step = "banner"
        while step:
            number = code if step.replace("HELO", "EHLO") == stage else plain.get(step, 250)
            writer.write(((offers if (step, number) == ("EHLO", 250) else "") + f"{number} so be it\r\n").encode())
            await writer.drain()
            content = step == "DATA" and number == 354
            line = await (reader.readuntil(b"\r\n.\r\n") if content else reader.readline())
            step = "end of data" if content else line.decode().partition(" ")[0].strip()
            heard.append(step)
        writer.close()

    login: dict[str, Any] = {"smtp_user": "me", "smtp_password": SecretStr("right")}
    changes = {"smtp_security": "starttls"} if stage == "STARTTLS" else login
    with raw_server(serve) as port, pytest.raises(SendError) as refused:
        send(configure, port, **changes)
    assert (refused.value.permanent, refused.value.status_code) == (code >= 500, code)
    order = [each for each in ["banner", *heard] if each in STAGES]
    assert order[-1] == stage, "nothing of the mail follows what was refused"


@pytest.mark.parametrize(
    "greeting", [b"421 busy\r\n", b"554 go away\r\n", b"junk\r\n", b"220 ok\r\n250 EHLO injected\r\n"]
)
def test_a_server_that_greets_badly_gets_no_mail(configure: Configure, greeting: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    with raw_server(greet) as port, pytest.raises(SendError) as refused:
        send(configure, port)
    assert refused.value.permanent is greeting.startswith(b"554")


def test_mails_of_one_batch_share_a_connection_and_an_error_costs_only_its_own(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Mailbox.handle_MAIL
    sessions = set()

    async def noted(self: Mailbox, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        sessions.add(id(session))
        return await original(self, server, session, envelope, address, options)

    monkeypatch.setattr(Mailbox, "handle_MAIL", noted)
    with mail_server() as mailbox:
        send(configure, mailbox.port, count=5)
        assert len(mailbox.mails) == 5
    assert len(sessions) == 1
