"""What to do about errors of reading Twilio."""

import pytest

from app.services.twilio import read_advice
from app.services.twilio.read_advice import advise


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("Twilio refused /Messages.json (HTTP 401, code 20003): check the account", read_advice.CREDENTIALS),
        ("Twilio refused /Calls.json (HTTP 403): check the account", read_advice.PERMISSION),
        ("Twilio refused /Calls.json (HTTP 404, code 20404): check", read_advice.NOT_FOUND),
        ("no credentials are known for account AC1: set them, or disable it", read_advice.CREDENTIALS),
        ("the credentials of account AC1 cannot be decrypted: no key fits", read_advice.SECRET_KEY),
        ("too many requests to /Messages.json (HTTP 429)", read_advice.LIMITED),
        ("the proxy blocked the request to Twilio for /x: see HTTPS_PROXY", read_advice.PROXY),
        ("no answer from Twilio for /Messages.json (ConnectTimeout)", read_advice.UNREACHED),
        ("no answer from Twilio for /x: its certificate is not trusted, see SSL_CERT_FILE", read_advice.CERTIFICATE),
        ("Twilio cannot answer /Messages.json now (HTTP 503)", read_advice.TWILIO),
        ("the error log of a subaccount needs a key of its own", ""),
        (None, ""),
    ],
)
def test_each_error_of_reading_has_its_advice(error: str | None, advice: str) -> None:
    assert advise(error) == advice
