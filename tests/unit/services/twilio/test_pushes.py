"""What is read out of callbacks, however odd they are."""

import json
from typing import Any

import pytest

from app.services.twilio import pushes

ACCOUNT = "AC" + "1" * 32
MESSAGE = "SM" + "2" * 32
ENTRY = "NO" + "3" * 32


def sent(**changes: Any) -> dict[str, Any]:
    data = {"messageSid": MESSAGE, "accountSid": ACCOUNT, "messageStatus": "SENT"}
    return {"type": "com.twilio.messaging.message.sent", "data": data, **changes}


def entry(payload: object, **data: Any) -> dict[str, Any]:
    data = {"sid": ENTRY, "account_sid": ACCOUNT, "level": "ERROR", "payload": payload, **data}
    return {"type": "com.twilio.error-logs.error.logged", "data": data}


def read(*events: object) -> list[pushes.Push]:
    pushed = pushes.read_events(json.dumps(events).encode())
    assert pushed is not None
    return pushed


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"type": 5}, sent(data=[]), sent(data={"messageSid": {}})])
def test_an_event_of_odd_shape_costs_only_itself(odd: object) -> None:
    assert [push.sid for push in read(odd, sent(), odd)] == [MESSAGE]


ODD_TIMES = [
    "Mon, 1 Jan 99999999999 00:00:00 +0000",
    "Mon, 1 Jan 2024 00:00:00 +00009999999999999999999",
    "9999-12-31T23:59:59-12:00",
    "soon",
    "-",
]


@pytest.mark.parametrize("odd", ODD_TIMES)
def test_a_time_that_cannot_be_read_costs_only_itself(odd: str) -> None:
    late = entry(None, date_created=odd)
    assert [push.payload.get("at", push.payload.get("date_created")) for push in read(sent(time=odd), late)] == [
        None,
        None,
    ]
    call = {"AccountSid": ACCOUNT, "CallSid": "CA" + "4" * 32, "CallStatus": "completed", "Timestamp": odd}
    pushed = pushes.read_status(call)
    assert pushed is not None
    assert (pushed.payload["status"], pushed.payload["at"]) == ("completed", None)


@pytest.mark.parametrize("number", ["1e999", "1" * 5000])
def test_a_number_that_cannot_be_read_costs_only_its_event(number: str) -> None:
    body = json.dumps([sent(), sent(data={"odd": "?"}), sent()]).replace('"?"', number).encode()
    assert [push.sid for push in pushes.read_events(body) or []] == [MESSAGE, MESSAGE]


def test_bytes_that_are_no_text_cost_only_themselves() -> None:
    body = json.dumps([sent(), "?"]).encode().replace(b'"?"', b'"\xe9"')
    assert [push.sid for push in pushes.read_events(body) or []] == [MESSAGE]


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"\xff", b"null", b"[" * 100_000])
def test_a_body_that_is_neither_an_event_nor_an_array_has_no_events(body: bytes) -> None:
    assert pushes.read_events(body) is None


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[1e999]"])
def test_what_holds_no_event_that_is_known_is_accepted(body: bytes) -> None:
    assert pushes.read_events(body) == []


def test_half_a_surrogate_pair_loses_neither_code_nor_text() -> None:
    payload = r'{"resource_sid":"CA1","error_code":"11200","more_info":{"Msg":"a\ud800b"}}'
    pushed = pushes.read_error({"Sid": ENTRY, "AccountSid": ACCOUNT, "Payload": payload})
    assert pushed is not None
    assert pushed.payload["error_code"] == "11200"
    assert pushed.payload["alert_text"] == "Msg=a%EF%BF%BDb"


@pytest.mark.parametrize("payload", [{"resource_sid": "CA1"}, '{"resource_sid": "CA1"}', "{", None])
def test_the_code_beside_the_payload_counts_where_the_payload_has_none(payload: object) -> None:
    assert read(entry(payload, error_code=11200))[0].payload["error_code"] == "11200"


@pytest.mark.parametrize("sid", ["SM/../../Accounts", "SM", MESSAGE + "0", "SM" + "x" * 5000])
def test_a_text_that_is_no_sid_names_no_message(sid: str) -> None:
    assert pushes.read_status({"AccountSid": ACCOUNT, "MessageSid": sid, "MessageStatus": "sent"}) is None


def test_a_status_has_a_length_that_an_index_can_hold() -> None:
    pushed = pushes.read_status({"AccountSid": ACCOUNT, "MessageSid": MESSAGE, "MessageStatus": "x" * 5000})
    assert pushed is not None
    assert len(pushed.payload["status"]) == pushes.MAX_STATUS_LENGTH
