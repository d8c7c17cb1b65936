"""The sentences about GiftPulse's own problems."""

import pytest

from app.services.self_monitoring import without_path

PATH = "/2010-04-01/Accounts/AC1/Messages.json"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (f"Twilio refused {PATH} (HTTP 401): check the account", "Twilio refused (HTTP 401): check the account"),
        (f"too many requests to {PATH} (HTTP 429)", "too many requests (HTTP 429)"),
        (f"no answer from Twilio for {PATH} (ConnectTimeout)", "no answer from Twilio (ConnectTimeout)"),
        (
            f"the proxy blocked the request to Twilio for {PATH}: see HTTPS_PROXY",
            "the proxy blocked the request to Twilio: see HTTPS_PROXY",
        ),
    ],
)
def test_an_error_is_a_sentence_without_its_path(error: str, shown: str) -> None:
    assert without_path(error) == shown
