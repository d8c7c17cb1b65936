"""The signature rules, by vectors that were computed apart from this code and checked with Twilio's SDK."""

import base64
import hashlib
import hmac

import pytest
from twilio.request_validator import RequestValidator

from app.services.twilio.signature import is_genuine, shared_key, sign

KEY = "0123456789abcdef0123456789abcdef"
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
HOST = "https://monitor.example.com"
STATUS = f"{HOST}/hooks/twilio/status"
BODY_A = (
    b"MessageSid=SM00000000000000000000000000000001&AccountSid=AC00000000000000000000000000000001"
    b"&MessageStatus=undelivered&ErrorCode=30007&From=%2B15005550006&To=%2B15551230000"
)
BODY_B = b"Body=Gr%C3%BC%C3%9Fe++&ErrorCode=&MessageSid=SM00000000000000000000000000000002"
BODY_C = b"A=3&B=2&a=1"
BODY_D = (
    b"CallSid=CA00000000000000000000000000000001&StatusCallbackEvent=ringing"
    b"&StatusCallbackEvent=initiated&StatusCallbackEvent=ringing"
)
HASH = "3810c387f75b012da76aacb96cbec18145ee54ef0ca7770989d417abb5460aad"
EVENTS = f"{HOST}/hooks/twilio/events?bodySHA256={HASH}"
BODY_F = (
    b'[{"specversion":"1.0","type":"com.twilio.error-logs.error.logged",'
    b'"id":"NO00000000000000000000000000000001","data":{"error_code":"11200"}}]'
)
JSON = "application/json"


@pytest.mark.parametrize(
    ("method", "url", "content_type", "body", "signature"),
    [
        pytest.param("POST", STATUS, FORM, BODY_A, "nl/PFVdTUix6lgp/gCLP0gqG2sM=", id="A"),
        pytest.param("POST", STATUS, FORM, BODY_A, "on7rCdx0UYR3vh5B93bUrJGNhRI=", id="A443, seen without port"),
        pytest.param(
            "POST", STATUS.replace(".com", ".com:8443"), FORM, BODY_A, "qrNtaD773wUOXelFnmu5d6e25Ms=", id="A8443"
        ),
        pytest.param(
            "POST", STATUS.replace(".com", ".com:8443"), FORM, BODY_A, "nl/PFVdTUix6lgp/gCLP0gqG2sM=", id="A at 8443"
        ),
        pytest.param("POST", STATUS + "?tenant=7", FORM, BODY_B, "6hvjiLZ/P45bql6Or7VTPzFUjs8=", id="B"),
        pytest.param("POST", f"{HOST}/h", FORM, BODY_C, "1XV6l094l9HVa7yFwWdgnd6Gemk=", id="C"),
        pytest.param("POST", STATUS, FORM, BODY_D, "JV5EXC/SFc1ZdTB5+PI5pR9XV6Q=", id="D"),
        pytest.param(
            "GET",
            STATUS + "?CallSid=CA00000000000000000000000000000001&CallStatus=completed",
            None,
            b"",
            "pDn/FpUtg6QfmNxhELXRc+jV59Y=",
            id="E",
        ),
        pytest.param("POST", EVENTS, JSON, BODY_F, "mI1iz6A+1ZXpcHJfhMRcLPY4l5A=", id="F"),
        pytest.param("POST", EVENTS.replace("?", "?tenant=7&"), JSON, BODY_F, "k2a3KOhN7zJ/35NAgY4fPQWqWxQ=", id="G"),
    ],
)
def test_a_genuine_request_is_known_by_its_signature(
    method: str, url: str, content_type: str | None, body: bytes, signature: str
) -> None:
    assert is_genuine([KEY], signature, method, url, content_type, body)
    assert is_genuine(["another token", KEY], signature, method, url, content_type, body)
    assert not is_genuine(["another token"], signature, method, url, content_type, body)
    assert not is_genuine([], signature, method, url, content_type, body)
    assert not is_genuine([KEY], signature, method, url, content_type, body + b" ") or method == "GET"
    assert not is_genuine([KEY], signature, method, url + ("&" if "?" in url else "?") + "x=1", content_type, body)
    assert not is_genuine([KEY], "nönsense", method, url, content_type, body)


def test_a_key_of_the_customers_own_signs_by_the_algorithm_it_names() -> None:
    signature = "7Z2ACeDT4rdgpYvGiMLaaNohlJRRGU3+x0dQdD3WmEA="
    assert is_genuine([KEY], signature, "POST", STATUS, FORM, BODY_A, "HMAC_SHA256")
    assert not is_genuine([KEY], signature, "POST", STATUS, FORM, BODY_A)
    assert not is_genuine([KEY], "nl/PFVdTUix6lgp/gCLP0gqG2sM=", "POST", STATUS, FORM, BODY_A, "HMAC_SHA256")


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("key=KY1,algorithm=HMAC_SHA256", ("KY1", "HMAC_SHA256")),
        ("algorithm=HMAC_SHA1, key=KY1", ("KY1", "HMAC_SHA1")),
        ("key=KY1", ("KY1", "HMAC_SHA1")),
        ("key=KY1,algorithm=none", None),
        ("key=,algorithm=HMAC_SHA256", None),
        ("algorithm=HMAC_SHA256", None),
        ("", None),
    ],
)
def test_the_header_says_which_key_and_how(header: str, read: tuple[str, str] | None) -> None:
    assert shared_key(header) == read


def test_a_body_that_is_no_form_needs_its_hash_in_the_address() -> None:
    signature = sign(KEY, f"{HOST}/hooks/twilio/events", [])
    assert not is_genuine([KEY], signature, "POST", f"{HOST}/hooks/twilio/events", JSON, BODY_F)


@pytest.mark.parametrize("given", ["%C3%A9", "%FF", "%ED%A0%80", "%00", "", "\u00e9", "\ud800", HASH[:-1] + "\u0664"])
def test_a_hash_of_untrusted_text_matches_no_body(given: str) -> None:
    address = f"{HOST}/hooks/twilio/events?bodySHA256={given}"
    assert not is_genuine([KEY], "x", "POST", address, JSON, BODY_F)


@pytest.mark.parametrize("signature", ["\u00e9", "\ud800", "\0", ""])
def test_a_signature_of_untrusted_text_fits_nothing(signature: str) -> None:
    assert not is_genuine([KEY], signature, "POST", EVENTS, JSON, BODY_F)


def test_a_form_with_thousands_of_fields_is_refused_before_it_costs_anything() -> None:
    assert not is_genuine([KEY], "x", "POST", STATUS, FORM, b"&".join(b"a=1" for _ in range(5000)))


def test_the_sdk_signs_alike() -> None:
    fields = {"A": "3", "B": "2", "a": "1"}
    assert RequestValidator(KEY).compute_signature(f"{HOST}/h", fields) == sign(KEY, f"{HOST}/h", list(fields.items()))


def signed_by_hand(text: str) -> str:
    """Sign a text with no more than the standard library: what Twilio signs, spelled out by the test."""
    return base64.b64encode(hmac.new(KEY.encode(), text.encode(), hashlib.sha1).digest()).decode()


RECEIVED = "/status?From=sip%3Aa%40example.com&To=%2B14155550100&Name=O%27Neil&Empty=&Twice=1&Twice=1"
FORMS = {
    "host as typed": "https://Monitor.Example.COM" + RECEIVED,
    "host in lower case": "https://monitor.example.com" + RECEIVED,
    "host as typed, with its port": "https://Monitor.Example.COM:443" + RECEIVED,
    "host in lower case, with its port": "https://monitor.example.com:443" + RECEIVED,
    "all three unescaped": "https://Monitor.Example.COM"
    "/status?From=sip:a@example.com&To=%2B14155550100&Name=O'Neil&Empty=&Twice=1&Twice=1",
    "colon and at unescaped": "https://monitor.example.com:443"
    "/status?From=sip:a@example.com&To=%2B14155550100&Name=O%27Neil&Empty=&Twice=1&Twice=1",
    "quote unescaped": "https://Monitor.Example.COM"
    "/status?From=sip%3Aa%40example.com&To=%2B14155550100&Name=O'Neil&Empty=&Twice=1&Twice=1",
}


@pytest.mark.parametrize("signed", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("typed", ["https://Monitor.Example.COM", "https://Monitor.Example.COM:443"])
def test_every_form_that_twilio_signs_is_genuine(typed: str, signed: str) -> None:
    assert is_genuine([KEY], signed_by_hand(signed), "GET", typed + RECEIVED, None, b"")


@pytest.mark.parametrize(
    "signed",
    [
        "https://monitor.example.com/Status?a=%3A&b=",
        "https://monitor.example.com/status/?a=%3A&b=",
        "https://monitor.example.com/status?a=%3A",
        "https://monitor.example.com/status?b=&a=%3A",
        "https://monitor.example.com/status?a=%3A&b=&b=",
        "https://monitor.example.com/status?a=%253A&b=",
        "https://monitor.example.com:8443/status?a=%3A&b=",
        "http://monitor.example.com/status?a=%3A&b=",
        "https://monitor.example.com.evil.example/status?a=%3A&b=",
    ],
)
def test_any_other_byte_makes_another_address(signed: str) -> None:
    received = "https://Monitor.Example.com/status?a=%3A&b="
    assert not is_genuine([KEY], signed_by_hand(signed), "GET", received, None, b"")


@pytest.mark.parametrize(
    ("typed", "signed"),
    [
        ("HTTPS://Monitor.example.com/s", "https://monitor.example.com/s"),
        ("HTTPS://Monitor.example.com/s", "HTTPS://Monitor.example.com/s"),
        ("http://monitor.example.com/s", "http://monitor.example.com:80/s"),
        ("https://user:secret@monitor.example.com/s", "https://monitor.example.com/s"),
        ("https://[2001:DB8::1]/s", "https://[2001:db8::1]:443/s"),
        ("https://[2001:db8::1]:8443/s", "https://[2001:db8::1]/s"),
        ("https://bücher.example:8443/s", "https://xn--bcher-kva.example:8443/s"),
        ("https://bücher.example/s", "https://bücher.example/s"),
        ("https://-ü-.example/s", "https://-ü-.example:443/s"),
        ("https://monitor.example.com/hook/s%2fx/", "https://monitor.example.com/hook/s%2fx/"),
        ("https://monitor.example.com/s?a=%3a", "https://monitor.example.com/s?a=:"),
        ("https://monitor.example.com/s?x=%2B%20+%C3%A9", "https://monitor.example.com/s?x=%2B%20+%C3%A9"),
    ],
)
def test_addresses_of_all_kinds(typed: str, signed: str) -> None:
    assert is_genuine([KEY], signed_by_hand(signed), "GET", typed, None, b"")


def test_a_form_whose_address_has_a_query_of_sip_addresses() -> None:
    typed = "https://Monitor.Example.COM/status?caller=sip%3Aa%40example.com"
    signature = signed_by_hand("https://monitor.example.com/status?caller=sip:a@example.comA=C=")
    assert is_genuine([KEY], signature, "POST", typed, FORM, b"A=&C=") is False
    signature = signed_by_hand("https://monitor.example.com/status?caller=sip:a@example.comA" + "C")
    assert is_genuine([KEY], signature, "POST", typed, FORM, b"A=&C=")
