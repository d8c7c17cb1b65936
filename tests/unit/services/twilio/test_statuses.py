"""The order of Twilio's statuses, and which of them are final."""

import pytest

from app.services.twilio.statuses import is_final, status_rank

MESSAGES: list[set[str | None]] = [
    {None, "a status that Twilio adds"},
    {"accepted", "scheduled", "receiving"},
    {"queued"},
    {"sending"},
    {"sent"},
    {"partially_delivered", "delivered", "undelivered", "failed", "canceled", "received"},
    {"read"},
]
"""By rank."""
CALLS: list[set[str | None]] = [
    {None, "a status that Twilio adds"},
    {"queued", "initiated"},
    {"ringing"},
    {"in-progress"},
    {"completed", "busy", "failed", "no-answer", "canceled"},
]
FINAL_MESSAGES = {"delivered", "read", "undelivered", "failed", "canceled", "received"}


@pytest.mark.parametrize(("log_type", "ranks"), [("message", MESSAGES), ("call", CALLS)])
def test_a_status_has_its_rank_in_the_life_of_a_log(log_type: str, ranks: list[set[str | None]]) -> None:
    found = {status: status_rank(log_type, status) for statuses in ranks for status in statuses}
    assert found == {status: rank for rank, statuses in enumerate(ranks) for status in statuses}


def test_the_final_statuses_are_those_of_the_contract() -> None:
    assert {status for rank in MESSAGES for status in rank if is_final("message", status)} == FINAL_MESSAGES
    assert {status for rank in CALLS for status in rank if is_final("call", status)} == CALLS[-1]
    assert is_final("error", None)
