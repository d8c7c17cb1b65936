"""The sentence of the banner about the account: only what was read since the start counts."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from scripts.local.first_read import describe
from tests.fakes import START

SID = "AC" + "0" * 32
ERROR = "Twilio refused /Calls.json (HTTP 401, code 20003): check the account, its credentials and what they may read"
OLD = (START - timedelta(days=1)).isoformat()
NEW = START.isoformat()


def stream(log_type: str, **values: Any) -> dict[str, Any]:
    known = {"last_success_at": OLD, "last_error": None, "last_error_at": None, "unavailable": False}
    return {"log_type": log_type, **known, **values}


def said(*after_the_poll: dict[str, Any], looks: int = 5) -> str:
    """Describe an account that the worker adds late, and whose streams change with the poll."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        date = {"Date": format_datetime(START, usegmt=True)}
        if request.method == "POST":
            return httpx.Response(202, headers=date)
        if len(asked) < 3:
            return httpx.Response(404, headers=date)
        before = [stream(each["log_type"]) for each in after_the_poll]
        return httpx.Response(200, json={"streams": list(after_the_poll) if "POST" in asked else before}, headers=date)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://api") as api:
        sentence = describe(api, SID, lambda: len(asked) > looks, lambda _: None)
    assert asked.count("POST") == 1
    return sentence


def test_an_account_of_which_all_is_read_is_watched() -> None:
    read = [stream(each, last_success_at=NEW) for each in ("call", "message")]
    assert said(*read, stream("error", unavailable=True)) == f"It watches the Twilio account {SID}."


def test_a_refusal_is_printed_instead_of_the_claim() -> None:
    failed = [stream(each, last_error=ERROR, last_error_at=NEW) for each in ("call", "message", "error")]
    assert said(*failed) == f"It cannot read calls, messages and the error log of the Twilio account {SID}: {ERROR}."


def test_read_and_unread_spans_are_distinguished() -> None:
    mixed = [stream("call", last_success_at=NEW), stream("error", last_error=ERROR, last_error_at=NEW)]
    assert said(*mixed) == f"It reads calls of the Twilio account {SID}, but not the error log: {ERROR}."


def test_an_old_poll_is_no_proof_of_health() -> None:
    assert said(stream("call"), stream("message", last_error=ERROR, last_error_at=OLD)).startswith("It has not read")
