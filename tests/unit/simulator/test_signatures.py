"""The signature of callbacks, by vectors that Twilio's own SDK agrees with."""

from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from scripts.twilio_simulator.signatures import sign, with_body_hash

TOKEN = "0123456789abcdef0123456789abcdef"
HOST = "https://monitor.example.com"
STATUS = f"{HOST}/hooks/twilio/status"
EVENTS = f"{HOST}/hooks/twilio/events"
UNDELIVERED = {
    "MessageSid": "SM00000000000000000000000000000001",
    "AccountSid": "AC00000000000000000000000000000001",
    "MessageStatus": "undelivered",
    "ErrorCode": "30007",
    "From": "+15005550006",
    "To": "+15551230000",
}
BODY = (
    b'[{"specversion":"1.0","type":"com.twilio.error-logs.error.logged",'
    b'"id":"NO00000000000000000000000000000001","data":{"error_code":"11200"}}]'
)


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (STATUS, UNDELIVERED.items(), "nl/PFVdTUix6lgp/gCLP0gqG2sM="),
        (f"{HOST}:443/hooks/twilio/status", UNDELIVERED.items(), "on7rCdx0UYR3vh5B93bUrJGNhRI="),
        (f"{HOST}:8443/hooks/twilio/status", UNDELIVERED.items(), "qrNtaD773wUOXelFnmu5d6e25Ms="),
        (
            f"{STATUS}?tenant=7",
            [("Body", "Grüße  "), ("ErrorCode", ""), ("MessageSid", "SM00000000000000000000000000000002")],
            "6hvjiLZ/P45bql6Or7VTPzFUjs8=",
        ),
        (f"{HOST}/h", [("A", "3"), ("B", "2"), ("a", "1")], "1XV6l094l9HVa7yFwWdgnd6Gemk="),
        (
            STATUS,
            [
                ("CallSid", "CA00000000000000000000000000000001"),
                ("StatusCallbackEvent", "ringing"),
                ("StatusCallbackEvent", "initiated"),
                ("StatusCallbackEvent", "ringing"),
            ],
            "JV5EXC/SFc1ZdTB5+PI5pR9XV6Q=",
        ),
        (
            f"{STATUS}?CallSid=CA00000000000000000000000000000001&CallStatus=completed",
            [],
            "pDn/FpUtg6QfmNxhELXRc+jV59Y=",
        ),
        (with_body_hash(EVENTS, BODY), [], "mI1iz6A+1ZXpcHJfhMRcLPY4l5A="),
        (with_body_hash(f"{EVENTS}?tenant=7", BODY), [], "k2a3KOhN7zJ/35NAgY4fPQWqWxQ="),
    ],
)
def test_requests_are_signed_as_twilio_signs_them(url: str, form: list[tuple[str, str]], signature: str) -> None:
    assert sign(TOKEN, url, form) == signature


def test_fragment_user_and_password_are_not_signed() -> None:
    bare = sign(TOKEN, STATUS, UNDELIVERED.items())
    assert sign(TOKEN, f"{STATUS}#rc=5&rp=all", UNDELIVERED.items()) == bare
    assert sign(TOKEN, STATUS.replace("://", "://user:word@"), UNDELIVERED.items()) == bare


def test_the_sdk_accepts_the_hash_of_a_body() -> None:
    url = with_body_hash(EVENTS, BODY)
    assert dict(parse_qsl(url.partition("?")[2]))["bodySHA256"]
    assert RequestValidator(TOKEN).validate(url, BODY.decode(), sign(TOKEN, url))
    assert not RequestValidator(TOKEN).validate(url, BODY.decode() + " ", sign(TOKEN, url))
