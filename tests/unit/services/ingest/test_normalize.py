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
from app.services.ingest.decoding import MalformedRecord, content_hash, head
from app.services.ingest.normalize import normalize
from app.services.logs.defaults import UNREADABLE
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
        {"account_sid": {"sid": ACCOUNT}},
        {"date_created": None, "date_updated": None, "date_sent": None},
        {"date_created": "yesterday", "date_updated": "", "date_sent": 7},
        {"date_created": "Tue, 03 Mar 2126 09:20:11 +0000", "date_updated": None, "date_sent": None},
    ],
)
def test_a_record_without_sid_account_or_any_time_is_no_log(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecord):
        log(LogType.MESSAGE, MESSAGE, **changes)


FAILED_CALL = CALL | {"status": "failed"}
ODD_FIELDS: list[tuple[LogType, dict[str, Any], str, Any, str]] = [
    (LogType.MESSAGE, MESSAGE, "status", ["sent"], "status"),
    (LogType.MESSAGE, MESSAGE, "error_code", "many", "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", -1, "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", 2**40, "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", 2**90, "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", 30007.5, "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", {"code": 1}, "error_code"),
    (LogType.MESSAGE, MESSAGE, "error_code", True, "error_code"),
    (LogType.MESSAGE, MESSAGE, "price", "n/a", "price"),
    (LogType.MESSAGE, MESSAGE, "price", "NaN", "price"),
    (LogType.MESSAGE, MESSAGE, "price", "1e400", "price"),
    (LogType.MESSAGE, MESSAGE, "price", "1e1000000", "price"),
    (LogType.MESSAGE, MESSAGE, "price", "0e1000000", "price"),
    (LogType.MESSAGE, MESSAGE, "price", [], "price"),
    (LogType.MESSAGE, MESSAGE, "num_segments", "-1", "segments"),
    (LogType.MESSAGE, MESSAGE, "num_segments", "1" * 5000, "segments"),
    (LogType.MESSAGE, MESSAGE, "num_segments", "1e1000000000", "segments"),
    (LogType.MESSAGE, MESSAGE, "num_segments", "NaN", "segments"),
    (LogType.MESSAGE, MESSAGE, "date_sent", "soon", "sent_at"),
    (LogType.MESSAGE, MESSAGE, "date_sent", "Mon, 1 Jan 99999999999 00:00:00 +0000", "sent_at"),
    (LogType.MESSAGE, MESSAGE, "date_sent", "Fri, 05 Mar 2027 09:20:11 +0000", "sent_at"),
    (LogType.MESSAGE, MESSAGE, "to", "+" + "1" * 3000, "to"),
    (LogType.MESSAGE, MESSAGE, "body", {"text": "Hello"}, "text"),
    (LogType.MESSAGE, MESSAGE, "messaging_service_sid", 7, "messaging_service_sid"),
    (LogType.CALL, FAILED_CALL, "duration", "a while", "duration_seconds"),
    (LogType.CALL, FAILED_CALL, "start_time", "Tue, 99 Mar 2026 09:20:11 +0000", "sent_at"),
    (LogType.CALL, FAILED_CALL, "from", ["+1"], "from_"),
    (LogType.ERROR, ERROR, "alert_text", {"Msg": "It broke"}, "text"),
    (LogType.ERROR, ERROR, "error_code", "E11200", "error_code"),
    (LogType.ERROR, ERROR, "resource_sid", 7, "resource_sid"),
]


@pytest.mark.parametrize(("log_type", "record", "name", "value", "column"), ODD_FIELDS)
def test_an_unreadable_field_is_null_kept_and_noted(
    log_type: LogType, record: dict[str, Any], name: str, value: Any, column: str
) -> None:
    got = log(log_type, record, **{name: value})
    assert getattr(got, column) is None
    assert got.rest is not None
    rest = json.loads(got.rest)
    assert list(rest[UNREADABLE]) == [name]
    assert rest[name] == value or value == 2**90
    assert got.status == (record.get("status") if column != "status" else None)


@pytest.mark.parametrize(
    ("log_type", "record", "changes", "changed_at"),
    [
        (LogType.CALL, FAILED_CALL, {"end_time": ""}, "09:14:41"),
        (LogType.CALL, FAILED_CALL, {"end_time": 12}, "09:14:41"),
        (LogType.CALL, FAILED_CALL, {"end_time": "Thu, 02 Apr 2026 09:20:11 +0000"}, "09:14:41"),
        (LogType.CALL, FAILED_CALL, {"end_time": "Thu, 02 Apr 1970 09:20:11 +0000"}, "09:14:02"),
        (LogType.CALL, FAILED_CALL, {"date_created": "", "date_updated": ""}, "09:14:40"),
        (LogType.CALL, FAILED_CALL, {"date_updated": "Fri, 05 Mar 2027 09:20:11 +0000"}, "09:14:40"),
        (LogType.MESSAGE, MESSAGE, {"date_updated": ["now"]}, "09:20:12"),
        (LogType.MESSAGE, MESSAGE, {"date_created": "Tue, 03 Mar 2126 09:20:11 +0000"}, "09:20:19"),
        (LogType.MESSAGE, MESSAGE, {"date_created": "Tue, 03 Mar 0026 09:20:11 +0000"}, "09:20:19"),
        (LogType.MESSAGE, MESSAGE, {"date_created": 12345}, "09:20:19"),
        (LogType.ERROR, ERROR, {"date_generated": ""}, "09:14:07"),
        (LogType.ERROR, ERROR, {"date_generated": "", "date_created": 7}, "09:14:07"),
    ],
)
def test_a_time_that_cannot_be_read_is_replaced_by_another_of_the_record(
    log_type: LogType, record: dict[str, Any], changes: dict[str, Any], changed_at: str
) -> None:
    assert log(log_type, record, **changes).changed_at == at(changed_at)


def test_a_scheduled_message_has_a_time_to_be_sent_at_and_was_not_sent() -> None:
    planned = "Tue, 31 Mar 2026 09:20:11 +0000"
    got = log(LogType.MESSAGE, MESSAGE, status="scheduled", error_code=None, date_sent=planned)
    assert (got.status, got.sent_at) == ("scheduled", None)
    rest = json.loads(got.rest or b"{}")
    assert rest["date_sent"] == planned
    assert UNREADABLE not in rest


@pytest.mark.parametrize(("written", "read_as"), [("0.0", 0), ("37.0", 37), (37, 37), (" 37 ", 37), ("3.7e1", 37)])
def test_a_whole_number_may_be_written_in_many_ways(written: Any, read_as: int) -> None:
    got = log(LogType.CALL, CALL, duration=written)
    assert got.duration_seconds == read_as
    assert UNREADABLE not in json.loads(got.rest or b"{}")


@pytest.mark.parametrize("level", [0, "", None, ["error"]])
def test_an_entry_without_a_level_that_can_be_read_has_the_catalogues(level: Any) -> None:
    assert log(LogType.ERROR, ERROR, log_level=level).level == "error"


def test_a_body_of_megabytes_costs_itself_alone() -> None:
    got = log(LogType.MESSAGE, MESSAGE, body="x" * 2_000_000)
    assert (got.status, got.text, got.error_code) == ("undelivered", None, 30007)
    rest = json.loads(got.rest or b"{}")
    assert rest[UNREADABLE] == {"body": "has 2000002 bytes"}
    assert len(rest["body"]) < 2000


def test_a_field_that_no_json_reader_accepts_costs_only_itself() -> None:
    record = json.dumps(MESSAGE).encode()
    for part in (
        b'"price": 1e999',
        b'"price": "\\ud800"',
        b'"colour": 1e999',
        b'"price": ' + b"[" * 5000 + b"]" * 5000,
    ):
        got = read(LogType.MESSAGE, record.replace(b'"price": null', part))
        assert (got.status, got.error_code, got.text) == ("undelivered", 30007, "Your code is 123456")


def test_fields_with_the_names_of_our_own_marks_do_no_harm() -> None:
    got = log(LogType.CALL, CALL, **{"-": "x", "~": 7, "?": None}, answered_by="human")
    assert got.status == "completed"
    rest = json.loads(got.rest or b"{}")
    assert "?" not in rest


def test_every_field_may_be_missing_but_the_sid_and_a_time() -> None:
    for log_type, record in ((LogType.MESSAGE, MESSAGE), (LogType.CALL, CALL), (LogType.ERROR, ERROR)):
        time = "date_generated" if log_type == LogType.ERROR else "date_created"
        got = read(log_type, json.dumps({"sid": record["sid"], time: record[time]}).encode())
        assert got.sid == record["sid"]
        assert log(log_type, dict.fromkeys(record) | {"sid": record["sid"], time: record[time]}).error_code is None


def test_characters_that_postgresql_cannot_store_are_replaced() -> None:
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
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


ESSENTIAL = {"sid", "account_sid", "date_created", "date_generated"}
ANOTHER_COLUMN = {
    "body": "text", "alert_text": "text", "num_segments": "segments", "duration": "duration_seconds", "from": "from_",
    "log_level": "level", "date_sent": "sent_at", "start_time": "sent_at",
}  # fmt: skip
FOLLOWERS = {
    "status": {"final"},
    "to": {"to_country"},
    "error_code": {"error_message", "level"},
    "date_updated": {"updated_at", "changed_at", "undated_at"},
    "end_time": {"updated_at", "changed_at"},
}


@given(
    st.sampled_from([(LogType.MESSAGE, MESSAGE), (LogType.CALL, CALL), (LogType.ERROR, ERROR)]),
    st.data(),
    json_values,
)
def test_any_json_in_any_field_costs_that_field_at_most(
    kind: tuple[LogType, dict[str, Any]], data: st.DataObject, value: Any
) -> None:
    log_type, record = kind
    name = data.draw(st.sampled_from(sorted({*record, "colour", "-", "~", "?"} - ESSENTIAL)))
    usual, got = log(log_type, record), log(log_type, record, **{name: value})
    concerned = {ANOTHER_COLUMN.get(name, name), "rest", "content_hash", *FOLLOWERS.get(name, ())}
    for column in set(NormalizedLog.__struct_fields__) - concerned:
        assert getattr(got, column) == getattr(usual, column), column
    assert max(got.occurred_at, got.changed_at, got.updated_at) <= NOW + timedelta(days=1)
    assert got.changed_at >= got.occurred_at
    rest = json.loads(got.rest or b"{}")
    for noted in rest.get(UNREADABLE, {}):
        assert noted == name
        assert noted in rest


@given(
    st.sampled_from([(LogType.MESSAGE, MESSAGE), (LogType.CALL, CALL), (LogType.ERROR, ERROR)]),
    st.dictionaries(st.sampled_from(sorted({*MESSAGE, *CALL, *ERROR} - ESSENTIAL)), json_values, max_size=6),
)
def test_records_with_the_required_fields_are_logs(kind: tuple[LogType, dict[str, Any]], changes: Any) -> None:
    got = log(kind[0], kind[1], **changes)
    assert got.sid == kind[1]["sid"]
    assert "\0" not in (got.text or "")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        head(msgspec.Raw(data))
