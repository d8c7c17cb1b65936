"""Sends mails by SMTP, one transaction per recipient: one bad address does not affect the others."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import aiosmtplib

from app.actions import mail_text
from app.actions.base import Envelope, NotContacted, Receipt, SendError
from app.config import Settings
from app.utils.json_types import JsonObject
from app.utils.mail_addresses import check_address, read_sender
from app.utils.redact import clean_text, hide_secrets
from app.utils.tls import tls_context

ATTEMPT_SECONDS = 60.0
"""For the whole attempt. The last reply may take long, and giving up on it would send the mail twice."""
STEP_SECONDS = 45.0
CONNECT_SECONDS = 15.0
MAX_CONNECTIONS = 16
MAX_MAILS_PER_CONNECTION = 20


@dataclass
class _Connection:
    client: aiosmtplib.SMTP
    mails: int = 0


class SmtpSender:
    """Connections to the mail server for one batch. Use it inside `connected()` of the kind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Send one mail to one recipient.

        Raises: SendError.
        """
        recipient, mail = self._prepare(envelope)
        async with self._slots:
            step = _Step()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    return await self._transact(mail, recipient, step)
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                raise _explain(error, step.name, self._secrets(recipient)) from None

    def _prepare(self, envelope: Envelope) -> tuple[str, bytes]:
        settings = self._settings
        if settings.smtp_host is None or settings.smtp_from is None:
            raise NotContacted("no mail can be sent: set SMTP_HOST and SMTP_FROM")
        if settings.smtp_user and settings.smtp_security == "none" and not _is_loopback(settings.smtp_host):
            raise NotContacted("SMTP_USER is not sent in clear: set SMTP_SECURITY to starttls or tls")
        try:
            recipient = check_address(envelope.recipient)
        except ValueError:
            raise NotContacted("the recipient is not a mail address") from None
        return recipient, mail_text.message(envelope, read_sender(settings.smtp_from))

    async def _transact(self, mail: bytes, recipient: str, step: "_Step") -> Receipt:
        connection = await self._acquire(step)
        try:
            sender = read_sender(self._settings.smtp_from or "").addr_spec
            step.name = "sender"
            await connection.client.mail(sender)
            step.name = "recipient"
            await connection.client.rcpt(recipient)
            step.name = "content"
            answer = await connection.client.data(mail)
        except BaseException:
            _abort(connection.client)
            raise
        connection.mails += 1
        if connection.mails < MAX_MAILS_PER_CONNECTION:
            self._idle.append(connection)
        else:
            await _quit(connection)
        return Receipt(answer.code, _clean_reply(answer.message, self._secrets(recipient)))

    def _secrets(self, recipient: str) -> list[str]:
        """List the secrets that a reply may repeat: the login and the recipient."""
        user = self._settings.smtp_user or ""
        password = self._settings.smtp_password.get_secret_value() if self._settings.smtp_password else ""
        return [user, password, f"\0{user}\0{password}", recipient, recipient.lower()]

    async def _acquire(self, step: "_Step") -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.client.is_connected:
                return connection
        step.name = "connection"
        client = make_client(self._settings, CONNECT_SECONDS)
        try:
            await client.connect()
            client.timeout = STEP_SECONDS
            if self._settings.smtp_user:
                step.name = "login"
                await login(client, self._settings)
        except BaseException:
            _abort(client)
            raise
        return _Connection(client)

    async def close(self) -> None:
        """Close the connections politely."""
        await asyncio.gather(*(_quit(connection) for connection in self._idle))
        self._idle.clear()


class _Step:
    """The step that an attempt has reached."""

    name: str = "connection"


def make_client(settings: Settings, timeout_seconds: float) -> aiosmtplib.SMTP:
    """Create a client of the mail server from the settings, not connected yet."""
    return aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        tls_context=None if settings.smtp_security == "none" else tls_context(),
        timeout=timeout_seconds,
    )


async def login(client: aiosmtplib.SMTP, settings: Settings) -> None:
    """Log in if the settings name a user."""
    if settings.smtp_user:
        password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
        await client.login(settings.smtp_user, password)


async def _quit(connection: _Connection) -> None:
    try:
        async with asyncio.timeout(5):
            await connection.client.execute_command(b"QUIT")
    except (aiosmtplib.SMTPException, OSError):
        pass  # the server has our mails already
    _abort(connection.client)


def _abort(client: aiosmtplib.SMTP) -> None:
    """Close a connection at once: TLS would wait for the server, and the event loop may end before."""
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


STEPS: dict[str, tuple[str, str]] = {
    "connection": ("refused the connection", "check SMTP_HOST, SMTP_PORT and SMTP_SECURITY"),
    "login": ("refused the login", "check SMTP_USER and SMTP_PASSWORD"),
    "sender": ("refused the sender", "check SMTP_FROM"),
    "recipient": ("refused the recipient", "check the address"),
    "content": ("refused the mail", "see its answer"),
}


def _clean_reply(reply: str, secrets: Sequence[str]) -> str:
    """Clean a server's reply for storage."""
    return clean_text(hide_secrets(reply, secrets), 1024)


def _explain(error: Exception, step: str, secrets: Sequence[str]) -> SendError:
    """Describe the failed step. A reply 5yz is permanent; everything else is retried."""
    refused, advice = STEPS[step]
    code, reply = _reply(error)
    if code is not None:
        permanent = 500 <= code < 600
        message = f"the mail server {refused} with {code}: " + (advice if permanent else "it may accept it later")
        return SendError(message, permanent=permanent, status_code=code, response=_clean_reply(reply, secrets))
    if isinstance(error, TimeoutError | aiosmtplib.SMTPTimeoutError):
        return SendError(f"the mail server did not answer in time ({step})", permanent=False)
    if isinstance(error, ssl.SSLError | ssl.CertificateError) or isinstance(error.__cause__, ssl.SSLError):
        return SendError(
            "the mail server's TLS or certificate could not be accepted: nothing was sent", permanent=False
        )
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return SendError(f"the mail server closed the connection ({step})", permanent=False)
    if step == "login":
        return SendError("the mail server offers no login: check SMTP_USER and SMTP_PORT", permanent=False)
    if "STARTTLS" in str(error):
        return SendError(
            "the mail server does not offer STARTTLS, which SMTP_SECURITY requires: nothing was sent",
            permanent=False,
        )
    return SendError(f"the mail server could not be reached or understood ({step}): {advice}", permanent=False)


def _reply(error: Exception) -> tuple[int | None, str]:
    """Return the server's reply from an error."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return (error.code, error.message) if error.code > 0 else (None, "")
    return None, ""
