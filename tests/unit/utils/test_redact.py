"""What is hidden, and what stays to be seen."""

import html
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
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
        ("+1.415.555.0100+14155550101", "+1415•••0100+1415•••0101"),
        ("+ 1 415 555 0100", "+1415•••0100"),
        ("+(1) 415-555-0100", "+1415•••0100"),
        ("+1 [415] 555 0100", "+1415•••0100"),
        ("+1 (415) - 555 - 0100", "+1415•••0100"),
        ("line 2 + 1 415 555 0100", "line 2 +1415•••0100"),
        ("+1_415_555_0100", "+1415•••0100"),
        ("+1\u00b7415\u00b7555\u00b70100", "+1415•••0100"),
        ("+1\u2212415\u2010555\u20150100", "+1415•••0100"),
        ("+1\u00ad415\u200b555\u200d\u20600\ufeff100", "+1415•••0100"),
        ("\u202d+1 415 555 0100\u202c", "\u202d+1415•••0100\u202c"),
        ("+1&nbsp;415&#160;555&#xA0;0100&nbsp;now", "+1415•••0100&nbsp;now"),
        ("+1\u00a0415\u2009555\u202f0100", "+1415•••0100"),
        ("\\u002b1\\u0020415\\u00a0555\\u20110100", "\\u002b1415•••0100"),
        ("\\\\u002B14155550100", "\\\\u002B1415•••0100"),
        ("\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "\uff0b1415•••0100"),
        ("+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "+1415•••0100"),
        ("+\u06f1\u06f4\u06f1\u06f5\u06f5\u06f5\u06f5\u06f0\u06f1\u06f0\u06f0", "+1415•••0100"),
        ("%252B14155550100&x=%25252B14155550100", "%252B1415•••0100&x=%25252B1415•••0100"),
        ("%252B1%2520%2528415%2529%2520555%252D0100", "%252B1415•••0100"),
        ("%EF%BC%8B1%E2%80%91415%C2%A05550100", "%EF%BC%8B1415•••0100"),
        ("%2B%31%34%31%355550100", "%2B1415•••0100"),
        (
            "&#x2B;14155550100 &plus;14155550100 &amp;#43;14155550100",
            "&#x2B;1415•••0100 &plus;1415•••0100 &amp;#43;1415•••0100",
        ),
        ("user+14155550100@x.example", "user+1415•••0100@x.example"),
        ("+1.4155550100", "+1415•••0100"),
        ("+1 415 555 0100 2026-11-29", "+1415•••0100 2026-11-29"),
        ("+1 415 555 0100 10:30", "+1415•••0100 10:30"),
        ("10:30 +1415 555 0100, 10:31 +1345 916 1234", "10:30 +1415•••0100, 10:31 +1345•••1234"),
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
        "+12.34567890 USD",
        "+12.34567890%20USD",
        "EUR +1234567.89, +12345678.90 EUR, $+12345678.90, +1.23456789%",
        "v1.2.3+20261129",
        "1.2.3+20261129.1, 1.2.3-rc.1+12345678, 2.36+20261129, giftpulse-v2.10+123456789",
        "2026-11-23T06:09:00+1000 2026-11-24T06:09:00+1030",
        "20261123T060900+1030 20261124T060900+1030",
        "06:09:00.123 +1245 1732345678901",
        "2026-11-23 06:09:00+10 2026-11-24 06:09:00+11",
        "06:09 UTC+10 2026-11-24, GMT+2 2026-11-24, UTC+1030 2026-11-24",
        "192.168.100.200:14155, 10.0.0.1:8080",
        "2 + 12345678 = 12345680, (1) + 12345678",
        "from SM14155550100aaaaaaaaaaaaaaaaaaaaa to AC" + "a" * 21 + "14155550100",
        "0b0e9c64-0000-4000-8000-a14155550100, 9f" + "14155550100" * 2 + "c",
    ],
)
def test_digits_that_are_no_phone_number_stay(text: str) -> None:
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
        ("(14155550100)", "(1415•••0100)"),
        ("user14155550100", "user1415•••0100"),
        ("client:bob_14155550100_x", "client:bob_1415•••0100_x"),
        ("14155550100th, tel14155550100", "1415•••0100th, tel1415•••0100"),
        ("1+415+555+0100", "1415•••0100"),
        ("\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "1415•••0100"),
        ("1&nbsp;415\u2212555%C2%B70100", "1415•••0100"),
    ],
)
def test_the_numbers_of_a_log_are_hidden_without_their_plus_too(text: str, shown: str) -> None:
    log = {"from": "+14155550100", "to": "whatsapp:+447700900123", "text": text}
    assert mask_numbers(log)["text"] == shown


def test_a_sender_that_is_no_phone_number_stays() -> None:
    log = {"from": "12345", "to": "client:alice", "text": "12345 wrote to alice"}
    assert mask_numbers(log) == log


def test_own_numbers_may_be_those_of_other_values() -> None:
    finding, others = "text begins with “call 14155550199”", [{"from": "+14155550199"}, {"to": ["+447700900123"]}]
    assert mask_numbers(finding) == finding
    assert mask_numbers(finding, others) == "text begins with “call 1415•••0199”"


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("client:bob_14155550100", "client:bob_1415•••0100"),
        ("user14155550100", "user1415•••0100"),
        ("sip:14155550100@x.example", "sip:1415•••0100@x.example"),
        ("client:%2B14155550100", "client:%2B1415•••0100"),
        ("client:\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", "client:1415•••0100"),
    ],
)
def test_the_number_within_a_senders_name_is_hidden_everywhere(sender: str, shown: str) -> None:
    log = {"from": sender, "text": f"{sender} and 14155550100"}
    assert mask_numbers(log) == {"from": shown, "text": f"{shown} and 1415•••0100"}


PLUSES = [
    *("+", "\uff0b", "\ufe62", "%2B", "%2b", "%252B", "%25252B", "%EF%BC%8B", "%25EF%25BC%258B"),
    *("&#43;", "&#x2b;", "&#043;", "&plus;", "&amp;#43;", "\\u002b", "\\\\u002B", "\\x2B"),
]
SEPARATORS = [
    *" \t-._()[]/\u00a0\u2007\u2009\u202f\u00b7\u2212\u00ad\u200b\u200e\u2060\ufeff",
    *map(chr, range(0x2010, 0x2016)),
    *(") ", ". ", "] ", " - ", "%20", "%28", "%2D", "%2520", "%C2%A0", "%E2%80%91"),
    *("&nbsp;", "&#160;", "&#xa0;", "&shy;", "&thinsp;", "&amp;nbsp;", "\\u0020", "\\u00a0", "\\/"),
]
ZEROS = [0x0660, 0x06F0, 0x0966, 0xFF10, 0x1D7CE]
ESCAPES: list[Callable[[str], str]] = [
    str,
    lambda digit: f"%3{digit}",
    lambda digit: f"%253{digit}",
    lambda digit: f"\\u003{digit}",
]
DIGITS = [*ESCAPES, *(lambda digit, zero=zero: chr(zero + int(digit)) for zero in ZEROS)]
AROUND = ["{}", "to {}.", "({})", "[{}]", "x={}&y=1", '"{}"', "whatsapp:{}", "client%3A{}", "é{}é", "{}\nnow"]


@given(st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True), st.sampled_from(AROUND), st.sampled_from(PLUSES), st.data())
def test_no_number_survives(digits: str, around: str, plus: str, data: st.DataObject) -> None:
    # Ten digits or more without a separator are the whole number: a space after them is the end of it.
    cut = data.draw(st.sets(st.integers(0, min(len(digits) - 1, 9)), max_size=6))
    spell = data.draw(st.sampled_from(DIGITS))
    parts = [
        (data.draw(st.sampled_from(SEPARATORS)) if at in cut else "") + spell(digit) for at, digit in enumerate(digits)
    ]
    shown = mask_numbers({"text": around.format(plus + "".join(parts))})["text"]
    assert shown == around.format(plus + mask_number("+" + digits)[1:])


@given(
    st.from_regex(r"[1-9][0-9]{9,14}", fullmatch=True),
    st.sampled_from([*AROUND, "user{}", "client:bob_{}", "{}_x", "tel{}x"]),
    st.data(),
)
def test_no_own_number_survives(digits: str, around: str, data: st.DataObject) -> None:
    cut = data.draw(st.sets(st.integers(1, len(digits) - 1), max_size=6))
    spell = data.draw(st.sampled_from(DIGITS))
    parts = [
        (data.draw(st.sampled_from(SEPARATORS)) if at in cut else "") + spell(digit) for at, digit in enumerate(digits)
    ]
    shown = mask_numbers({"from": "+" + digits, "text": around.format("".join(parts))})["text"]
    assert shown == around.format(mask_number(digits))


TIMES = st.datetimes(datetime(2008, 1, 1), datetime(2040, 1, 1))  # the offset is added as text
OFFSETS = st.sampled_from(
    ["Z", "+0000", "+01:00", "+0530", "+1000", "+1030", " +1245", "+14", "+14:00", " -0330", "-10:00"]
)
BUILDS = st.from_regex(r"[1-9][0-9]{7,13}", fullmatch=True)
CODES = st.integers(10_000, 99_999)
VERSION_PARTS = st.integers(0, 99)
NO_NUMBERS = st.one_of(
    st.from_regex(r"[A-Z]{2}[0-9a-f]{32}", fullmatch=True),
    st.uuids().map(str),
    st.builds(lambda at, offset: at.isoformat() + offset, TIMES, OFFSETS),
    st.builds(lambda at, offset: f"{at:%Y%m%dT%H%M%S}{offset}", TIMES, OFFSETS),
    st.builds(lambda at, offset: f"{at:%Y-%m-%d %H:%M:%S.%f}{offset}", TIMES, OFFSETS),
    st.builds(
        lambda amount, places, unit: f"{amount:+.{places}f} {unit}",
        st.floats(-1e9, 1e9),
        st.integers(1, 8),
        st.sampled_from(["USD", "EUR", "GBP", "JPY", "%", "$"]),
    ),
    st.builds("v{}.{}.{}+{}".format, VERSION_PARTS, VERSION_PARTS, VERSION_PARTS, BUILDS),
    st.builds("{}.{}.{}+{}".format, VERSION_PARTS, VERSION_PARTS, VERSION_PARTS, BUILDS),
    st.builds("{}:{}".format, st.ip_addresses(v=4), st.integers(1, 65_535)),
    st.builds("[{}]:{}".format, st.ip_addresses(v=6), st.integers(1, 65_535)),
    st.lists(CODES, min_size=1, max_size=4).map(lambda codes: ",".join(map(str, codes))),
    st.builds("{}-{}".format, CODES, CODES),
    st.integers(10**9, 10**13).map(str),
    st.integers(1, 9_999_999).map("+{}".format),
)


@given(st.lists(NO_NUMBERS, min_size=1, max_size=4), st.sampled_from([", ", "; ", " | ", "\n"]))
def test_digits_that_are_no_phone_number_are_never_masked(parts: list[str], between: str) -> None:
    text = between.join(parts)
    assert mask_numbers({"from": "+14155550100", "to": "client:bob_447700900123", "text": text})["text"] == text


def test_a_secret_shows_its_last_four_only_if_it_can_spare_them() -> None:
    assert mask_secret("a" * 20 + "wxyz", "whsec_") == "whsec_•••wxyz"
    assert mask_secret("short") == "•••"


def test_userinfo_and_query_of_a_url_are_hidden() -> None:
    url = "https://user:pass@example.com:8443/hook?token=abc"
    assert mask_url(url) == "https://•••@example.com:8443/hook?•••"
    assert plain_url(url) == "https://example.com:8443/hook"
    assert mask_url("https://example.com/hook") == "https://example.com/hook"


def test_untrusted_text_becomes_fit_to_store() -> None:
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
