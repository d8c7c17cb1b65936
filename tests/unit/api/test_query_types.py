"""How query parameters are read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.schemas.common import read_query_time, read_time, whole_number, yes_or_no
from app.api.schemas.logs import LogFilters
from app.utils.clock import utc_now

NINE = datetime(2026, 11, 23, 6, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T06:09:00Z",
        "2026-11-23t06:09:00z",
        "2026-11-23T06:09:00.000Z",
        "2026-11-23T08:09:00+02:00",
        "2026-11-23T08:09:00 02:00",
    ],
)
def test_a_time_of_rfc_3339_is_read(text: str) -> None:
    assert read_time(text) == NINE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1763878140",
        "2026-11-23",
        "2026-11-23T06:09:00",
        "2026-02-30T06:09:00Z",
        "2026-11-23T25:09:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        read_time(text)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("2w", timedelta(days=14)),
        ("0m", timedelta(0)),
    ],
)
def test_an_age_is_a_time_so_long_before_now(text: str, age: timedelta) -> None:
    assert abs(read_query_time(text) - (utc_now() - age)) < timedelta(minutes=1)
    assert read_query_time("2026-11-23T06:09:00Z") == NINE


@pytest.mark.parametrize("text", ["7", "d", "7 d", "-7d", "7D", "7y", "9999999d", "999999w", "yesterday"])
def test_what_is_neither_a_time_nor_an_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 7d"):
        read_query_time(text)


def test_a_cursor_is_bound_to_the_age_as_it_was_sent() -> None:
    first, second = (LogFilters.model_validate({"since": "7d", "status": "failed"}) for _ in range(2))
    assert first.since != second.since
    assert first.filters == second.filters == {"since": "7d", "status": ["failed"]}


def test_a_country_is_accepted_in_any_case_and_another_one_refused_with_a_suggestion() -> None:
    assert LogFilters.model_validate({"to_country": "gb, DE"}).to_country == ("GB", "DE")
    with pytest.raises(ValidationError, match=r"did you mean GB\?"):
        LogFilters.model_validate({"to_country": "uk"})


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (" 14155550124", ("+14155550124",)),
        ("+14155550124", ("+14155550124",)),
        (" 14155550124, 447700900123", ("+14155550124", "+447700900123")),
        ("14155550124", ("14155550124",)),
        ("whatsapp: 14155550124", ("whatsapp:+14155550124",)),
        ("72345, 72346", ("72345", "72346")),
        ("+14155550124, whatsapp:+447700900123", ("+14155550124", "whatsapp:+447700900123")),
        (" GiftPulse", ("GiftPulse",)),
    ],
)
def test_a_plus_that_nobody_escaped_is_a_plus(name: str, sent: str, read: tuple[str, ...]) -> None:
    wanted = LogFilters.model_validate({name: sent}).to_filter()
    assert (wanted.from_ if name == "from" else wanted.to) == read


numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


@given(st.lists(numbers, min_size=1, max_size=5))
def test_numbers_mean_the_same_whether_their_plus_is_escaped_or_not(several: list[str]) -> None:
    sent = ",".join(several)
    assert LogFilters.model_validate({"to": sent.replace("+", " ")}).to == LogFilters.model_validate({"to": sent}).to


@pytest.mark.parametrize(("sent", "read"), [(" 4477", "+4477"), (" 42 apples", " 42 apples"), ("at: 42", "at: 42")])
def test_a_text_that_is_all_number_gets_its_plus_back(sent: str, read: str) -> None:
    assert LogFilters.model_validate({"q": sent}).q == read


@pytest.mark.parametrize("text", ["", "1.0", "1e3", " 1", "1_000", "+1", "9" * 10, "true"])
def test_a_whole_number_is_digits(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        whole_number(text)


@pytest.mark.parametrize("text", ["", "yes", "1", "True", "t"])
def test_yes_and_no_are_true_and_false(text: str) -> None:
    with pytest.raises(ValueError, match="true or false"):
        yes_or_no(text)


def test_several_values_go_by_commas() -> None:
    wanted = LogFilters.model_validate({"status": "failed, undelivered", "error_code": "30003,30005"}).to_filter()
    assert (wanted.status, wanted.error_code) == (("failed", "undelivered"), (30003, 30005))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "a,,b"),
        ("status", ""),
        ("status", "FAILED"),
        ("error_code", "30003,x"),
        ("error_code", "1" * 7),
        ("log_type", "fax"),
        ("log_type", "call,fax"),
        ("account_sid", "AC1"),
        ("to_country", "UK"),
        ("to_country", "GB,Germany"),
        ("limit", "0"),
        ("limit", "1001"),
        ("final", "maybe"),
        ("since", "yesterday"),
        ("q", ""),
        ("q", "x" * 1001),
        ("cursor", "?"),
        ("x", "1"),
    ],
)
def test_an_impossible_value_is_refused_at_its_name(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LogFilters.model_validate({name: value})
    assert [item["loc"] for item in caught.value.errors()] == [(name,)]
