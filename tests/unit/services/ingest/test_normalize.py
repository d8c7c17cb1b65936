"""One record in, one log out: Twilio's own examples, and whatever else may come."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enums import LogType
from app.services.ingest.normalize import MalformedRecord, content_hash, head, normalize
from app.services.logs.types import NormalizedLog

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
ACCOUNT = "AC0123456789abcdef0123456789abcdef"
# The samples of Twilio's OpenAPI files, their sids made up.
MESSAGE: dict[str, Any] = {
    "sid": "SM00000000000000000000000000000001",
    "account_sid": ACCOUNT,
    "messaging_service_sid": "MG00000000000000000000000000000001",
    "from": "+14155550123",
    "to": "+447700900123",
    "body": "Your code is 123456",
    "status": "undelivered",
    "direction": "outbound-api",
    "error_code": 30007,
    "error_message": None,
    "num_segments": "1",
    "num_media": "0",
    "price": None,
    "price_unit": "USD",
    "date_created": "Tue, 03 Mar 2026 09:20:11 +0000",
    "date_sent": "Tue, 03 Mar 2026 09:20:12 +0000",
    "date_updated": "Tue, 03 Mar 2026 09:20:19 +0000",
    "api_version": "2010-04-01",
    "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/SM00000000000000000000000000000001.json",
    "subresource_uris": {},
}
CALL: dict[str, Any] = {
    "sid": "CA5ef8732a3c49700934481addd5ce1659",
    "account_sid": ACCOUNT,
    "parent_call_sid": None,
    "date_created": "Tue, 03 Mar 2026 09:14:02 +0000",
    "date_updated": "Tue, 03 Mar 2026 09:14:41 +0000",
    "start_time": "Tue, 03 Mar 2026 09:14:04 +0000",
    "end_time": "Tue, 03 Mar 2026 09:14:40 +0000",
    "duration": "37",
    "price": "-0.01400",
    "price_unit": "USD",
    "status": "completed",
    "direction": "outbound-api",
    "to": "+14155550100",
    "from": "client:alice",
}
ERROR: dict[str, Any] = {
    "sid": "NO00000000000000000000000000000001",
    "account_sid": ACCOUNT,
    "resource_sid": "CA5ef8732a3c49700934481addd5ce1659",
    "error_code": "11200",
    "log_level": "ERROR",
    "alert_text": "Msg&sourceComponent=12000&ErrorCode=11200&httpResponse=502"
    "&url=https%3A%2F%2Fapp.example.com%2Fvoice&LogLevel=ERROR",
    "date_generated": "2026-03-03T09:14:05Z",
    "date_created": "2026-03-03T09:14:07Z",
    "date_updated": "2026-03-03T09:14:07Z",
}


def log(log_type: LogType, record: dict[str, Any], **changes: Any) -> NormalizedLog:
    return read(log_type, json.dumps(record | changes).encode())


def read(log_type: LogType, record: bytes) -> NormalizedLog:
    return normalize(log_type, msgspec.Raw(record), content_hash(record), NOW)


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-03T{clock}Z")


def test_a_message_in_our_words() -> None:
    got = log(LogType.MESSAGE, MESSAGE)
    assert (got.status, got.error_code, got.segments, got.final) == ("undelivered", 30007, 1, True)
    assert (got.to, got.to_country, got.text) == ("+447700900123", "GB", "Your code is 123456")
    assert got.error_message == "Message filtered"
    assert (got.occurred_at, got.sent_at, got.changed_at) == (at("09:20:11"), at("09:20:12"), at("09:20:19"))


def test_a_call_changes_when_it_ends_and_has_no_code() -> None:
    got = log(LogType.CALL, CALL)
    assert (got.occurred_at, got.changed_at, got.updated_at) == (at("09:14:02"), at("09:14:40"), at("09:14:41"))
    assert (got.duration_seconds, got.price, got.error_code) == (37, Decimal("-0.01400"), None)
    assert log(LogType.CALL, CALL, end_time=None, status="ringing").changed_at == at("09:14:41")


def test_an_error_in_our_words_its_text_decoded() -> None:
    got = log(LogType.ERROR, ERROR)
    assert (got.level, got.error_code, got.status, got.final) == ("error", 11200, None, True)
    assert got.occurred_at == got.changed_at == at("09:14:05")
    assert got.text is not None
    assert "httpResponse: 502" in got.text
    assert "url: https://app.example.com/voice" in got.text
    assert log(LogType.ERROR, ERROR, alert_text="plain & simple").text == "plain & simple"
    assert log(LogType.ERROR, ERROR, alert_text="Msg=It+broke&ErrorCode=1").text == "It broke\nErrorCode: 1"


@pytest.mark.parametrize(
    ("code", "wanted"), [(30007, 30007), ("30007", 30007), ("", None), (None, None), (30007.0, 30007)]
)
def test_a_code_is_a_number_or_none(code: Any, wanted: int | None) -> None:
    assert log(LogType.MESSAGE, MESSAGE, error_code=code).error_code == wanted
    assert log(LogType.ERROR, ERROR, error_code=code).error_code == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"sid": 7},
        {"sid": None},
        {"sid": "SM1"},
        {"sid": "CA5ef8732a3c49700934481addd5ce1659"},
        {"status": ["sent"]},
        {"error_code": "many"},
        {"error_code": -1},
        {"error_code": 2**40},
        {"error_code": {"code": 1}},
        {"price": "free"},
        {"price": "NaN"},
        {"price": "1e400"},
        {"num_segments": "some"},
        {"num_segments": "1" * 5000},
        {"date_created": "yesterday"},
        {"date_created": 12345},
        {"date_created": "Tue, 03 Mar 2126 09:20:11 +0000"},
        {"date_created": "Tue, 03 Mar 0026 09:20:11 +0000"},
        {"date_updated": "Fri, 05 Mar 2027 09:20:11 +0000"},
        {"date_created": "Tue, 99 Mar 2026 09:20:11 +0000"},
        {"date_created": None, "date_updated": None},
        {"to": "+" + "1" * 3000},
        {"body": "x" * 2_000_000},
    ],
)
def test_a_record_of_odd_shape_is_no_log(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecord) as raised:
        log(LogType.MESSAGE, MESSAGE, **changes)
    assert "x" * 50 not in str(raised.value)


def test_a_call_that_ends_next_month_is_no_log() -> None:
    with pytest.raises(MalformedRecord, match="2026-04-02"):
        log(LogType.CALL, CALL, end_time="Thu, 02 Apr 2026 09:20:11 +0000")


def test_every_field_may_be_missing_but_the_sid_and_a_time() -> None:
    for log_type, record in ((LogType.MESSAGE, MESSAGE), (LogType.CALL, CALL), (LogType.ERROR, ERROR)):
        time = "date_generated" if log_type == LogType.ERROR else "date_created"
        got = read(log_type, json.dumps({"sid": record["sid"], time: record[time]}).encode())
        assert got.sid == record["sid"]
        assert log(log_type, dict.fromkeys(record) | {"sid": record["sid"], time: record[time]}).error_code is None


def test_what_postgresql_cannot_hold_is_replaced() -> None:
    assert log(LogType.MESSAGE, MESSAGE, body="a\0b").text == "a\ufffdb"
    assert log(LogType.MESSAGE, MESSAGE, body="a\\u0000b").text == "a\\u0000b"


def test_a_field_that_nobody_knows_is_kept_with_the_rest() -> None:
    got = log(LogType.MESSAGE, MESSAGE, colour={"deep": [1, None]})
    assert got.rest is not None
    assert json.loads(got.rest)["colour"] == {"deep": [1, None]}


def test_the_hash_moves_with_every_byte() -> None:
    one, other = (msgspec.Raw(json.dumps(MESSAGE | {"body": body}).encode()) for body in "ab")
    assert head(one) == (MESSAGE["sid"], read(LogType.MESSAGE, bytes(one)).content_hash)
    assert head(one)[1] != head(other)[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([(LogType.MESSAGE, MESSAGE), (LogType.CALL, CALL), (LogType.ERROR, ERROR)]),
    st.dictionaries(st.sampled_from(sorted({*MESSAGE, *CALL, *ERROR})), json_values, max_size=4),
)
def test_whatever_comes_is_a_log_or_refused_with_a_reason(kind: tuple[LogType, dict[str, Any]], changes: Any) -> None:
    try:
        got = log(kind[0], kind[1], **changes)
    except MalformedRecord:
        return
    assert got.occurred_at <= NOW + timedelta(days=1)
    assert "\0" not in (got.text or "")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        head(msgspec.Raw(data))
