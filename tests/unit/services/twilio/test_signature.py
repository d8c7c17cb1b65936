"""The signature rules, by vectors that were computed apart from this code and checked with Twilio's SDK."""

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


def test_a_form_with_thousands_of_fields_is_refused_before_it_costs_anything() -> None:
    assert not is_genuine([KEY], "x", "POST", STATUS, FORM, b"&".join(b"a=1" for _ in range(5000)))


def test_the_sdk_signs_alike() -> None:
    fields = {"A": "3", "B": "2", "a": "1"}
    assert RequestValidator(KEY).compute_signature(f"{HOST}/h", fields) == sign(KEY, f"{HOST}/h", list(fields.items()))
