"""What stands in the headers of a mail, as another parser than Python's own reads it."""

import re
from datetime import UTC, datetime

import pytest
from fast_mail_parser import parse_email
from hypothesis import example, given
from hypothesis import strategies as st

from app.actions import mail_text
from app.actions.base import Envelope
from app.enums import NotificationType
from app.utils.mail_addresses import read_sender
from tests.kits import encoded_words

LONG_DOMAIN = "notifications.monitoring.example-company.com"
STRUCTURED = ("Message-ID", "In-Reply-To", "References", "List-Id", "Date", "To", "X-GiftPulse-Alert")
WORDS = {
    "German": [
        "Nachrichten",
        "für",
        "Österreich",
        "über",
        "München",
        "plötzlich",
        "gestört",
        "größer",
        "Straße",
        "Zustellung",
        "in",
        "Köln",
    ],
    "French": ["Échec", "de", "l'envoi", "à", "l'étranger", "été", "où", "garçon", "Noël", "cœur", "déjà", "messages"],
    "Spanish": ["Envío", "fallido", "señal", "mañana", "¿qué?", "corazón", "niño", "número", "en", "España"],
    "Portuguese": [
        "Mensagens",
        "não",
        "entregues",
        "à",
        "região",
        "São",
        "João",
        "coração",
        "avó",
        "pão",
        "para",
        "Brasília",
    ],
    "Japanese": ["メッセージ", "送信", "失敗", "日本", "障害", "東京", "の", "を", "配信エラー", "ｶﾅ", "𠮷野家"],
}
SENTENCES = [st.lists(st.sampled_from(words), min_size=1, max_size=14).map(" ".join) for words in WORDS.values()]
NAMES = st.one_of(*SENTENCES, st.text(min_size=1, max_size=80))


def raw(subject: str = "x", sender: str = f"GiftPulse <alerts@{LONG_DOMAIN}>") -> bytes:
    address = read_sender(sender)
    envelope = Envelope(
        delivery_id="0b9d2c60-8f0e-4f5e-9f3b-0c5c9a7e2f11",
        alert_id="5f2f4c1e-4b71-4f55-8a5f-6f6ad3a1b9c2",
        type=NotificationType.FIRING,
        recipient="ops@example.com",
        content={"subject": subject, "domain": address.domain, "text": "text", "html": "<p>html</p>"},
        created_at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
    )
    return mail_text.message(envelope, address)


def fields(mail: bytes) -> dict[str, str]:
    """The header fields as they are sent, with their folds."""
    head = mail.split(b"\r\n\r\n")[0].decode("ascii")
    return dict(re.split(r": ?", field, maxsplit=1) for field in re.split(r"\r\n(?![ \t])", head))


def check_lines(mail: bytes) -> None:
    for line in mail.split(b"\r\n\r\n")[0].split(b"\r\n"):
        assert len(line) <= 998
        assert len(line) <= 76 or b"=?" not in line, line
        assert line.strip()


@given(NAMES)
@example("Nachrichten für Österreich über München plötzlich gestört")
@example("a" * 190 + " ü")
@example("ü" * 200)
@example("送" * 200)
def test_a_subject_is_read_as_it_was_written(name: str) -> None:
    mail = raw(subject=name)
    written = mail_text.one_line(name)
    check_lines(mail)
    assert encoded_words.decode(fields(mail)["Subject"]) == written
    assert parse_email(mail).subject == written.strip()


@given(NAMES)
@example("Überwachung der Nachrichten für Österreich und die Schweiz")
@example('Ops "night" \\ shift, Inc.')
@example("a" * 300)
@example("\ud7fc")
def test_a_senders_name_is_read_as_it_was_written(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    try:
        address = read_sender(f'"{quoted}" <alerts@example.com>')
    except ValueError:
        return
    mail = raw(sender=f'"{quoted}" <alerts@example.com>')
    check_lines(mail)
    written = fields(mail)["From"]
    if not address.display_name:  # nothing of it can be seen
        assert written == "alerts@example.com"
        return
    assert written.endswith(" <alerts@example.com>")
    assert encoded_words.phrase(written.removesuffix("<alerts@example.com>")) == address.display_name


@pytest.mark.parametrize(
    "name",
    [
        "نمی\u200cرسند",
        "ක්\u200dරි",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f fails",
        "\U0001fae9 newer than the tables of Python",
        "配信\u3000障害",
        "Donau\u00addampfschiff",
    ],
)
def test_characters_without_width_and_new_ones_stay(name: str) -> None:
    assert encoded_words.decode(fields(raw(subject=name))["Subject"]) == name
    sender = fields(raw(sender=f"{name} <alerts@example.com>"))["From"]
    assert encoded_words.phrase(sender.removesuffix("<alerts@example.com>")) == name


@pytest.mark.parametrize("hidden", ["\r\n", "\0", "\x1b", "\x85", "\u2028", "\u202e", "\u2066", "\ud800"])
def test_controls_of_lines_and_directions_are_spaces(hidden: str) -> None:
    assert mail_text.one_line(f"{hidden}a {hidden}b{hidden}") == "a b"


def test_structured_headers_are_never_encoded_and_stand_on_one_line() -> None:
    root = f"<gp.alert.5f2f4c1e-4b71-4f55-8a5f-6f6ad3a1b9c2@{LONG_DOMAIN}>"
    longest = ".".join(["a" * 60] * 4)
    for domain in (LONG_DOMAIN, longest):
        written = fields(raw("Störung", f"Überwachung <alerts@{domain}>"))
        for name in STRUCTURED:
            assert "=?" not in written[name]
            assert "\n" not in written[name]
        assert written["In-Reply-To"] == written["References"] == root.replace(LONG_DOMAIN, domain)


@pytest.mark.parametrize("name", ["Überwachung", "=?utf-8?q?=C3=9Cberwachung?=", "=?utf-8?b?w5xiZXJ3YWNodW5n?="])
def test_a_senders_name_may_be_given_encoded(name: str) -> None:
    assert read_sender(f"{name} <alerts@example.com>").display_name == "Überwachung"


def test_ascii_text_is_not_encoded() -> None:
    written = fields(raw("[warning] Carrier filtering: 12 messages", '"Ops, Inc." <alerts@example.com>'))
    assert written["Subject"] == "[warning] Carrier filtering: 12 messages"
    assert "=?" not in written["From"]
