"""What is hidden, and what stays to be seen."""

import html
import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.redact import HIDDEN, clean_text, hide, mask_number, mask_numbers, mask_secret, mask_url, plain_url

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
        "text": "call +14155550100 or 4477009001234",
        "occurred_at": "2026-11-23T06:09:00.123456Z",
        "price": "-0.0075",
        "error_code": 30003,
        "nested": [{"to": "+14155550100"}],
        "messaging_service_sid": None,
    }
    assert mask_numbers(log) == log | {
        "from": "+1415•••0100",
        "to": "whatsapp:+4477•••0123",
        "text": "call +1415•••0100 or 4477•••1234",
        "nested": [{"to": "+1415•••0100"}],
    }


@given(st.from_regex(r"\+[1-9]\d{7,14}", fullmatch=True), st.sampled_from(["{}", "to {}.", "({})", "a {} b"]))
def test_no_number_survives(number: str, around: str) -> None:
    assert number not in mask_numbers(around.format(number))


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
    assert hide("no Authorization: Bearer s3cret-token, s3cret-token", secrets) == "no Authorization: •••, •••"
    assert hide("you sent s3cret-to", secrets) == "you sent •••"
    assert hide("you sent s3c", secrets) == "you sent s3c"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40))
def test_a_secret_is_hidden_however_it_is_spelled(secret: str) -> None:
    in_json = json.dumps(secret)[1:-1]
    ways = [secret, in_json, in_json.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")]
    ways.append(b64encode(secret.encode()).decode())
    for way in ways:
        assert set(hide(way, [secret])) <= {*HIDDEN, "="}
