"""The inbox: mails as they look, webhooks as they came, and whether they are signed."""

from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from aiosmtpd.smtp import Envelope
from standardwebhooks import Webhook as Signer

from scripts.inbox import app, receive
from scripts.inbox.store import MAX_MESSAGES, Store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type": "alert.firing", "data": {"alert": {"summary": "3 calls failed"}}}'


def _signed(at: datetime | None = None) -> list[tuple[str, str]]:
    at = at or datetime.fromisoformat(receive.now())
    signature = Signer(SECRET).sign("id", at, BODY.decode())
    return [("webhook-id", "id"), ("webhook-timestamp", str(int(at.timestamp()))), ("webhook-signature", signature)]


def test_a_signature_is_checked_over_the_bytes_that_came() -> None:
    good = receive.webhook(1, "POST", "/hooks/x", _signed(), BODY, SECRET)
    assert (good.signature, good.type, good.subject) == ("valid", "alert.firing", "alert.firing: 3 calls failed")
    changed = receive.webhook(2, "POST", "/hooks/x", _signed(), BODY.replace(b"3", b"4"), SECRET)
    assert changed.signature.startswith("not valid")
    old = receive.webhook(3, "POST", "/hooks/x", _signed(datetime(2020, 1, 1, tzinfo=UTC)), BODY, SECRET)
    assert old.signature.startswith("not valid")
    assert receive.webhook(4, "POST", "/hooks/x", [], BODY, SECRET).signature == "not signed"
    assert receive.webhook(5, "POST", "/hooks/x", _signed(), BODY, None).signature.startswith("not checked")


@pytest.mark.parametrize("body", [b"", b"[1]", b"not json", b"\xff\xfe", b'{"type": 7, "data": null}'])
def test_a_body_of_any_kind_is_kept(body: bytes) -> None:
    assert receive.webhook(1, "POST", "/hooks/x", [], body, SECRET).signature == "not signed"


async def test_a_mail_is_kept_for_each_recipient_with_both_its_parts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "Twilio Alert", "GiftPulse <g@example.com>"
    mail.set_content("plain")
    mail.add_alternative("<b>rich</b>", subtype="html")
    envelope = Envelope()
    envelope.content, envelope.rcpt_tos = mail.as_bytes(), ["a@example.com", "b@example.com"]
    assert await receive.MailHandler(store).handle_DATA(None, None, envelope) == "250 OK"  # type: ignore[arg-type]
    newest, oldest = store.newest_first()
    assert {newest.recipient, oldest.recipient} == {"a@example.com", "b@example.com"}  # type: ignore[union-attr]
    assert newest.subject == "Twilio Alert"
    assert "plain" in newest.text  # type: ignore[union-attr]
    assert "<b>rich</b>" in newest.html  # type: ignore[union-attr]


def test_a_restart_keeps_what_was_caught_and_the_oldest_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.load()
    for _ in range(MAX_MESSAGES + 2):
        store.add(receive.webhook(store.next_number(), "POST", "/hooks/x", [], BODY, None))
    again = Store(tmp_path)
    again.load()
    assert [message.number for message in again.messages] == list(range(3, MAX_MESSAGES + 3))
    assert again.next_number() == MAX_MESSAGES + 3


async def test_received_content_is_shown_and_never_executed(tmp_path: Path) -> None:
    made = app.create_app(tmp_path, 0, SECRET)
    transport = httpx.ASGITransport(made)
    async with httpx.AsyncClient(transport=transport, base_url="http://inbox") as client:
        await client.post("/hooks/<script>", content=b'{"type": "<script>alert(1)</script>"}')
        for path in ("/", "/messages/1"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "<script>" not in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await client.get("/messages/99")).status_code == 404
        assert (await client.get("/messages.json")).json()[0]["kind"] == "webhook"
