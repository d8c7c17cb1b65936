"""Addresses, subjects and messages of mails."""

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from app.actions import mail_text
from app.actions.base import Envelope, Notification
from app.actions.email import Email
from app.actions.sample import sample_notifications
from app.config import Settings
from app.enums import NotificationType
from app.errors import InvalidInput
from app.utils.mail_addresses import check_address, read_sender
from tests.kits import notifications

SENDER = read_sender("GiftPulse <alerts@example.com>")


@pytest.mark.parametrize(
    "text",
    [
        "a@b\r\nBcc: x@y.z", '"a, b@c"', "a@[127.0.0.1]", "@", "a@", "@b", "a", "", "a b@c.d", "a@b c", "a@b@c",
        "a..b@c.d",
        ".a@c.d", '"a"@c.d', "a@-b.c", "a@b..c", "a@127.0.0.1", "a" * 400 + "@b.c", "a" * 65 + "@b.c",
        "a@" + "b." * 130 + "c",
        "a\x00@b.c", "ä@b.c", "a,b@c.d", "<a@b.c>", "A <a@b.c>", "a@b.c\n", "a@b.c;d@e.f", "a@b_c.d",
        "=?utf-8?q?=0ax?=@b.c", "a.=?utf-8?b?Cng=?=@b.c",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_address(text)
    assert len(text) < 8 or text not in str(refused.value)


@pytest.mark.parametrize("text", ["ops@example.com", "a.b+c@sub.example.com", "o'neil@example.com", "root@mailhost"])
def test_a_plain_address_is_kept(text: str) -> None:
    assert check_address(text) == text


def test_an_international_domain_is_written_in_ascii() -> None:
    assert check_address("ops@bücher.example") == "ops@xn--bcher-kva.example"


@given(st.text())
def test_no_address_carries_a_second_one(text: str) -> None:
    for candidate in (text, f"{text}@example.com", f"ops@{text}"):
        try:
            address = check_address(candidate)
        except ValueError:
            continue
        assert address.count("@") == 1
        assert address.isascii()
        assert not set(address) & set(' \r\n\t,;:<>()[]"\\\x00')


@pytest.fixture
def kind(settings: Settings) -> Email:
    return Email(lambda: settings)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config.recipients"),
        ({"recipients": []}, "config.recipients"),
        ({"recipients": "ops@example.com"}, "config.recipients"),
        ({"recipients": ["ops@example.com", "a@b\r\nBcc: x"]}, "config.recipients.1"),
        ({"recipients": ["o@example.com"] * 51}, "config.recipients"),
        ({"recipients": ["o@example.com"], "template": "../../etc"}, "config.template"),
        ({"recipients": ["o@example.com"], "template": "none_such"}, "config.template"),
        ({"recipients": ["o@example.com"], "subject": ""}, "config.subject"),
        ({"recipients": ["o@example.com"], "subject": "{{ alert"}, "config.subject"),
        ({"recipients": ["o@example.com"], "subject": "{{ 'a' * 10**9 }}"}, "config.subject"),
        ({"recipients": ["o@example.com"], "subject": "{{ nothing }}"}, "config.subject"),
        ({"recipients": ["o@example.com"], "cc": []}, "config.cc"),
    ],
)
def test_an_invalid_config_is_refused_at_its_field(kind: Email, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        kind.check(config)
    assert [error.field for error in refused.value.errors] == [field]


def test_the_example_of_the_contract_is_accepted(kind: Email) -> None:
    config = {"recipients": ["ops@example.com"], "subject": "Twilio Alert", "template": "error_notification"}
    assert kind.check(config) == config
    assert kind.render(config, sample_notifications()[0]).content["subject"] == "Twilio Alert"


def test_a_subject_that_is_empty_only_without_a_rule_gives_way_to_the_built_in_one(kind: Email) -> None:
    config = kind.check({"recipients": ["ops@example.com"], "subject": "{{ rule.name }}"})
    firing, without_rule, _ = sample_notifications()
    assert kind.render(config, firing).content["subject"] == mail_text.one_line(
        str(firing.rule and firing.rule["name"])
    )
    rendered = kind.render(config, without_rule)
    assert rendered.content["subject"].startswith("[resolved]")
    assert "built-in subject" in (rendered.warning or "")


def test_an_address_that_is_listed_twice_gets_one_mail(kind: Email) -> None:
    assert kind.recipients({"recipients": ["a@b.c", "A@B.C", "d@e.f"]}) == ["a@b.c", "d@e.f"]


def make_raw(content: dict[str, str], alert_id: str | None = "a1") -> bytes:
    envelope = Envelope(
        delivery_id="d1",
        alert_id=alert_id,
        type=NotificationType.FIRING,
        recipient="ops@example.com",
        content={"domain": "example.com", "text": "text", "html": "<p>html</p>"} | content,
        created_at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
    )
    return mail_text.message(envelope, SENDER)


def make(content: dict[str, str], alert_id: str | None = "a1") -> Any:
    return message_from_bytes(make_raw(content, alert_id), policy=policy.default)


ENCODED_WORDS = st.builds(
    "{}=?{}?{}?{}?={}".format,
    st.sampled_from(["", "a ", "=", "ü "]),
    st.sampled_from(["utf-8", "us-ascii", "utf-7", "utf-8*en", "none"]),
    st.sampled_from("qQbB"),
    st.sampled_from(["=0aBcc:_x", "=0D=0A=0D=0Abody", "CkJjYzogeA==", "=00", "x"]),
    st.text(max_size=3),
)


@given(st.text() | ENCODED_WORDS, st.text(), st.text())
def test_no_text_makes_a_header_or_breaks_a_mail(subject: str, text: str, html: str) -> None:
    raw = make_raw({"subject": subject, "text": text, "html": html})
    head = raw.split(b"\r\n\r\n")[0].decode("ascii")
    names = [line.split(":")[0] for line in head.split("\r\n") if not line.startswith((" ", "\t"))]
    assert sorted(names) == sorted(
        ["Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References", "X-GiftPulse-Alert",
         "X-GiftPulse-Type", "List-Id", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]
    )  # fmt: skip
    read = message_from_bytes(raw, policy=policy.default)
    assert read["To"] == "ops@example.com"
    assert b"\x00" not in raw


def test_an_encoded_word_in_a_subject_is_shown_and_not_decoded() -> None:
    read = make({"subject": "=?utf-8?q?=0a=0aBcc:_x?= fails"})
    assert read["Subject"] == "= ?utf-8?q?=0a=0aBcc:_x?= fails"
    assert "Bcc" not in read


def test_a_mail_is_the_same_on_every_attempt_and_threads_with_its_alert() -> None:
    assert make_raw({"subject": "a"}) == make_raw({"subject": "a"})
    first = make({"subject": "a"})
    assert first["Message-ID"] == "<gp.d1@example.com>"
    assert first["References"] == first["In-Reply-To"] == "<gp.alert.a1@example.com>"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["List-Id"] == "GiftPulse <giftpulse.example.com>"
    assert make({"subject": "a"}, None)["References"] is None
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]


def test_a_mail_says_what_happened_and_what_to_do(kind: Email) -> None:
    notification = sample_notifications()[0]
    content = kind.render({"template": "error_notification"}, notification).content
    for part in (content["text"], content["html"]):
        for words in ("30003", "Unreachable destination handset", "What to do next", "SM" + "0" * 32):
            assert words.lower() in part.lower()
        assert f"http://localhost:8000/alerts/{notification.alert['id']}" in part
        assert "https://www.twilio.com/console/sms/logs/AC" in part


def test_a_mail_says_the_cause_and_the_next_step_before_the_details(kind: Email) -> None:
    content = kind.render({"template": "error_notification"}, sample_notifications()[0]).content
    for part in (content["text"].lower(), content["html"].lower()):
        order = ("error 30003", "what to do next", "/alerts/", "occurrences:", "newest logs")
        assert sorted(order, key=part.index) == list(order)


def test_a_text_keeps_its_direction_and_its_signs(kind: Email) -> None:
    notification = sample_notifications()[0]
    alert = notification.alert | {"rule_name": "\u202edne eht\u202c", "summary": "👩\u200d👧 إلى"}
    config = {"recipients": ["a@b.c"], "template": "error_notification"}
    mail = make(dict(kind.render(config, replace(notification, alert=alert)).content))
    parts = [mail["Subject"], *(mail.get_body((part,)).get_content() for part in ("plain", "html"))]
    assert all("👩\u200d👧 إلى" in part for part in parts)
    assert not any(mark in part for part in parts for mark in mail_text.BIDI_CONTROLS)


def test_untrusted_text_cannot_imitate_our_lines() -> None:
    for notification in notifications.hostile():
        parts, _ = mail_text.write(mail_text.BUILT_IN, notification)
        lines = parts["text"].splitlines()
        assert lines.count("WHAT TO DO NEXT") == 1
        assert not any(line.startswith(("Bcc:", "Call +1900")) for line in lines)
        assert max(map(len, lines)) < 2 * mail_text.MAX_TEXT_LENGTH
        assert len(parts["html"]) < 60_000


@pytest.mark.parametrize(
    ("notification", "begin"),
    [
        (notifications.of(NotificationType.FIRING, rule_name="Carrier filtering"), "[info] Carrier filtering: said"),
        (notifications.of(NotificationType.UPDATE, rule_name="x" * 200), "[info] Still firing: xxxx"),
        (notifications.of(NotificationType.RESOLVED, notifications.RESOLVED, rule_name="x" * 200), "[resolved] xxxx"),
        (notifications.digest(), "[critical] Digest: 24 more notifications"),
        (notifications.TEST, "[GiftPulse] Test: this action works"),
    ],
)
def test_a_subject_begins_with_severity_or_state(notification: Notification, begin: str) -> None:
    subject = mail_text.write(mail_text.BUILT_IN, notification)[0]["subject"]
    assert subject.startswith(begin)
    assert len(subject) <= mail_text.MAX_SUBJECT_LENGTH
    assert "said" in subject or notification.type in ("alert.digest", "action.test"), (
        "a long name leaves room for what is wrong"
    )


def test_untrusted_text_is_escaped_in_html_and_evaluated_nowhere(kind: Email) -> None:
    from dataclasses import replace

    evil = "<script>alert(1)</script> {{ 7 * 7 }} =cmd()"
    notification = sample_notifications()[0]
    logs = [dict(notification.logs[0]) | {"status": evil}]
    notification = replace(
        notification, alert=notification.alert | {"summary": evil, "rule_name": evil, "group": {"to": evil}}, logs=logs
    )
    content = kind.render({"template": "error_notification"}, notification).content
    assert "<script>" not in content["html"]
    assert "{{ 7 * 7 }}" in content["text"]
    assert "49" not in content["text"]


def test_a_template_that_fails_gives_way_to_the_built_in_one(kind: Email, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = kind.render({"template": "gone", "subject": "{{ 1 / 0 }}"}, sample_notifications()[0])
    assert "What to do next" in rendered.content["html"]
    assert "gone" in (rendered.warning or "")
    assert "config.subject" in (rendered.warning or "")


def test_a_mail_carries_the_rules_description_with_its_links(kind: Email) -> None:
    content = kind.render({"template": "error_notification"}, notifications.outage()).content
    link = "https://wiki.example.com/runbooks/sms?team=ops"
    assert f'<a class="link" href="{link}" style="color:#0b5cad">{link}</a>. Call Ann' in content["html"]
    assert link in content["text"]
    for part in (content["text"], content["html"]):
        for words in ("12.5% of 4,120 messages", "Acme Production", "United Kingdom (GB)", "23:41:00 in Berlin"):
            assert words in part


@pytest.mark.parametrize(
    "evil",
    ["javascript:alert(1)", 'https://e.example/"onclick=alert(1)', "<a href=https://e.example>x</a>", "https://"],
)
def test_no_description_makes_more_than_links(evil: str) -> None:
    shown = str(mail_text.linked(evil, "color:#0b5cad"))
    assert "<a href" not in shown
    assert 'href="javascript' not in shown
    assert "onclick" not in re.sub(r'"[^"]*"', "", re.sub(r">[^<]*<", "><", f">{shown}<"))


@pytest.mark.parametrize("type_", [NotificationType.FIRING, NotificationType.UPDATE])
def test_a_mail_has_a_button_that_leads_to_where_the_alert_is_acknowledged(
    kind: Email, type_: NotificationType
) -> None:
    notification = notifications.of(type_)
    html = kind.render({"recipients": ["a@example.com"], "template": "error_notification"}, notification).content[
        "html"
    ]
    link = f"{notification.base_url}/alerts/{notification.alert['id']}"
    assert f'<a href="{link}"' in html
    assert "Open and acknowledge</a>" in html


def test_templates_that_a_worker_has_loaded_are_compiled_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    mail_text.load()
    monkeypatch.setattr(Environment, "compile", lambda *_, **__: pytest.fail("every process compiles it again"))
    for notification in sample_notifications():
        parts, warning = mail_text.write(mail_text.BUILT_IN, notification)
        assert parts["subject"]
        assert warning is None


def test_a_broken_template_stops_no_worker_and_is_replaced_when_a_mail_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(mail_text.FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / mail_text.BUILT_IN / "body.html").write_text("{% if %}")
    monkeypatch.setattr(mail_text, "FOLDER", tmp_path)
    mail_text._environment.cache_clear()
    try:
        mail_text.load()
        parts, warning = mail_text.write(mail_text.BUILT_IN, sample_notifications()[0])
    finally:
        mail_text._environment.cache_clear()
    assert "the built-in one failed; plain text was sent" in str(warning)
    assert parts["text"]
