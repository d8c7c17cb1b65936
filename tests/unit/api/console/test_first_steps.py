"""The card of the first steps says of Twilio what is true of all accounts."""

import pytest

from app.api.console.first_steps import steps_of
from app.services.setup import FirstSteps


@pytest.mark.parametrize(
    ("accounts", "is_read", "detail"),
    [
        (0, False, "No account is watched."),
        (1, False, "Waiting for Twilio's first response."),
        (2, False, "Not every account was read yet."),
        (2, True, "2 accounts"),
    ],
)
def test_the_first_step_is_done_once_every_account_was_read(accounts: int, is_read: bool, detail: str) -> None:
    found = FirstSteps(accounts, is_read, rules=0, actions=0, is_notified=False, sends_mail=False, is_pushed=False)
    reading, *_ = steps_of(found, None)
    assert (reading.detail, reading.is_done) == (detail, is_read)
