"""What is hidden, and what stays to be seen."""

import html
import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.redact import (
    HIDDEN,
    clean_text,
    hide_secrets,
    mask_number,
    mask_numbers,
    mask_secret,
    mask_url,
    plain_url,
)

SID = "SM" + "1234567890" * 3 + "12"


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+14155550100", "+1415•••0100"), ("+447700900123", "+4477•••0123"), ("14155550100", "1415•••0100")],
)
def test_the_middle_of_a_number_is_hidden(number: str, shown: str) -> None:
    assert mask_number(number) == shown


def test_numbers_are_hidden_wherever_they_stand() -> None:
    log = {
        "sid": SID,
        "from": "+14155550100",
        "to": "whatsapp:+447700900123",
        "text": "call +14155550100 or 447700900123",
        "occurred_at": "2026-11-23T06:09:00.123456Z",
        "price": "-0.0075",
        "error_code": 30003,
        "nested": [{"to": "+14155550100"}],
        "messaging_service_sid": None,
    }
    assert mask_numbers(log) == log | {
        "from": "+1415•••0100",
        "to": "whatsapp:+4477•••0123",
        "text": "call +1415•••0100 or 4477•••0123",
        "nested": [{"to": "+1415•••0100"}],
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://x.example/hook?From=%2B14155550100&To=1", "https://x.example/hook?From=%2B1415•••0100&To=1"),
        (
            "url=http%3A%2F%2Fx.example%3FFrom%3D%252B14155550100%26",
            "url=http%3A%2F%2Fx.example%3FFrom%3D%252B1415•••0100%26",
        ),
        ("From=whatsapp%3A%2B14155550100", "From=whatsapp%3A%2B1415•••0100"),
        ("client:+14155550100, sip:+14155550100@x.example", "client:+1415•••0100, sip:+1415•••0100@x.example"),
        ("+1 (415) 555-0100 called", "+1415•••0100 called"),
        ("tel:+1-415-555-0100", "tel:+1415•••0100"),
        ("+44 (0)20 7946 0958.", "+4402•••0958."),
        ("+49/89/12345678", "+4989•••5678"),
        ("+1.415.555.0100", "+1415•••0100"),
        ("%2B1%20%28415%29%20555-0100", "%2B1415•••0100"),
        ("Body=%2B1+415+555+0100+now", "Body=%2B1415•••0100+now"),
        ("&#43;14155550100", "&#43;1415•••0100"),
        ("\\u002b14155550100", "\\u002b1415•••0100"),
        ("+14155550100 30003", "+1415•••0100 30003"),
        ("+1 415 555 0100 30003", "+1415•••0100 30003"),
        ("+1 415 555 0100\n+1 415 555 0101", "+1415•••0100\n+1415•••0101"),
        ("+14155550100+14155550101", "+1415•••0100+1415•••0101"),
    ],
)
def test_a_number_is_hidden_however_it_is_spelled(text: str, shown: str) -> None:
    assert mask_numbers(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        SID,
        f"/Messages/{SID}.json",
        "2026-11-23T06:09:00+01:00",
        "Mon, 23 Nov 2026 06:09:00 +0000",
        "Mon, 23 Nov 2026 06:09:00 +1030",
        "1732345678901",
        "order 4155550199",
        "-0.0075 USD, 12345678.90 EUR",
        "codes 30001,30002,30003 and 30000-30999",
        "https://www.twilio.com/docs/errors/30003",
        "+12345",
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert mask_numbers({"from": "+14155550100", "text": text})["text"] == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("14155550100", "1415•••0100"),
        ("From%3D14155550100%26", "From%3D1415•••0100%26"),
        ("1 (415) 555-0100", "1415•••0100"),
        ("call (415) 555-0100", "call •••0100"),
        ("4155550100", "•••0100"),
        ("0014155550100", "•••0100"),
        ("07700 900123", "•••0123"),
        ("5550100", "5550100"),
    ],
)
def test_the_numbers_of_a_log_are_hidden_without_their_plus_too(text: str, shown: str) -> None:
    log = {"from": "+14155550100", "to": "whatsapp:+447700900123", "text": text}
    assert mask_numbers(log)["text"] == shown


def test_a_sender_that_is_no_phone_number_stays() -> None:
    log = {"from": "12345", "to": "client:alice", "text": "12345 wrote to alice"}
    assert mask_numbers(log) == log


SEPARATORS = st.sampled_from(["", " ", "-", ".", "(", ") ", "\u00a0", "%20", "%28", "%2D"])


@given(st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True), st.sampled_from(["{}", "to {}.", "({})", "x={}&y=1"]))
def test_no_number_survives(digits: str, around: str) -> None:
    for number in ("+" + digits, "%2B" + digits, "whatsapp%3A%2B" + digits):
        assert digits not in mask_numbers(around.format(number))


@given(st.from_regex(r"[1-9][0-9]{9,14}", fullmatch=True), st.data())
def test_no_punctuated_number_survives(digits: str, data: st.DataObject) -> None:
    cut = data.draw(st.sets(st.integers(1, 9), max_size=5))
    parts = [data.draw(SEPARATORS) + digit if at in cut else digit for at, digit in enumerate(digits)]
    shown = mask_numbers("call +" + "".join(parts) + ", please")
    assert shown == f"call {mask_number('+' + digits)}, please"


def test_a_secret_shows_its_last_four_only_if_it_can_spare_them() -> None:
    assert mask_secret("a" * 20 + "wxyz", "whsec_") == "whsec_•••wxyz"
    assert mask_secret("short") == "•••"


def test_userinfo_and_query_of_a_url_are_hidden() -> None:
    url = "https://user:pass@example.com:8443/hook?token=abc"
    assert mask_url(url) == "https://•••@example.com:8443/hook?•••"
    assert plain_url(url) == "https://example.com:8443/hook"
    assert mask_url("https://example.com/hook") == "https://example.com/hook"


def test_foreign_text_becomes_fit_to_store() -> None:
    assert clean_text("a\x00b\ud800c", 10) == "a�b?c"
    assert clean_text("abc", 2) == "ab"


def test_a_secret_that_comes_back_is_hidden_also_where_it_is_cut_off() -> None:
    secrets = ["Bearer s3cret-token", "s3cret-token", "no", ""]
    assert hide_secrets("no Authorization: Bearer s3cret-token, s3cret-token", secrets) == "no Authorization: •••, •••"
    assert hide_secrets("you sent s3cret-to", secrets) == "you sent •••"
    assert hide_secrets("you sent s3c", secrets) == "you sent s3c"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40))
def test_a_secret_is_hidden_however_it_is_spelled(secret: str) -> None:
    in_json = json.dumps(secret)[1:-1]
    ways = [secret, in_json, in_json.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")]
    ways.append(b64encode(secret.encode()).decode())
    for way in ways:
        assert set(hide_secrets(way, [secret])) <= {*HIDDEN, "="}
