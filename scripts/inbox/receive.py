"""Receives mails and webhooks: parses a mail as a mail program does, and verifies a webhook as its receiver should."""

import email
import json
from collections.abc import Sequence
from datetime import UTC
from email import policy
from email.message import EmailMessage
from email.utils import localtime
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from scripts.inbox.store import Mail, Store, Webhook


class MailHandler:
    """Handles the mails of the SMTP server: one message for each recipient."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        content = envelope.content or b""
        parsed = email.message_from_bytes(
            content if isinstance(content, bytes) else content.encode(), policy=policy.default
        )
        for recipient in envelope.rcpt_tos:
            self._store.add(_mail(self._store.next_number(), recipient, parsed))
        return "250 OK"


def _mail(number: int, recipient: str, parsed: EmailMessage) -> Mail:
    return Mail(
        number=number,
        received_at=now(),
        recipient=recipient,
        headers=[(name, str(value)) for name, value in parsed.items()],
        subject=str(parsed["subject"] or "(no subject)"),
        sender=str(parsed["from"] or ""),
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
    )


def _part(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""


def webhook(
    number: int, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, secret: str | None
) -> Webhook:
    """Read one request and verify its signature over the received bytes."""
    shown = body.decode("utf-8", "replace")
    try:
        content = json.loads(shown)
        shown = json.dumps(content, indent=2, ensure_ascii=False)
    except ValueError:
        content = {}
    content = content if isinstance(content, dict) else {}
    return Webhook(
        number=number,
        received_at=now(),
        method=method,
        path=path,
        headers=list(headers),
        body=shown,
        signature=_judge(body, headers, secret),
        type=str(content.get("type", "")),
        subject=_subject(content),
    )


def _subject(content: dict[str, Any]) -> str:
    try:
        return f"{content['type']}: {content['data']['alert']['summary']}"
    except (KeyError, TypeError):
        return str(content.get("type") or content.get("text") or "a webhook")[:200]


def _judge(body: bytes, headers: Sequence[tuple[str, str]], secret: str | None) -> str:
    if not any(name.lower() == "webhook-signature" for name, _ in headers):
        return "not signed"
    if secret is None:
        return "not checked: the inbox was given no secret"
    try:
        Verifier(secret).verify(body, dict(headers))
    except (WebhookVerificationError, ValueError) as error:
        return f"not valid: {error}"
    return "valid"


def now() -> str:
    return localtime().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
