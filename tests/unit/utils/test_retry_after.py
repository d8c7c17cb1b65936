"""How long a server asks to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.retry_after import MAX_SECONDS, parse_retry_after

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("1000000000", 3600),
        ("9" * 5000, 3600),
        ("Tue, 24 Nov 2026 03:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 23:00:00 GMT", 3600),
        ("Tue, 24 Nov 2026 02:00:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("٣", None),
    ],
)
def test_seconds_and_dates_are_read_and_junk_is_not(value: str | None, wait: float | None) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1.5", 2),
        ("0.25", 1),
        ("59.000", 59),
        ("+30", 30),
        ('"30"', 30),
        ("30s", 30),
        ("30 seconds", 30),
        ("1.5s", 2),
        ("2 minutes", 120),
        ("1m", 60),
        ("1 hour", 3600),
        ("30 fortnights", None),
        ("5, 90", 90),
        ("90, 5, soon", 90),
        ("5, Tue, 24 Nov 2026 03:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 03:02:00 GMT, 5", 120),
        ("Tuesday, 24-Nov-26 03:02:00 GMT", 120),
        ("Tue Nov 24 03:02:00 2026", 120),
        ("24 Nov 2026 03:02:00", 120),
        ("Tue, 24 Nov 2026 04:02:00 +0100", 120),
        ("2026-11-24T03:02:00Z", 120),
        ("2026-11-24T03:02:00.5+00:00", 121),
        ("2026-11-24 03:02:00", 120),
    ],
)
def test_forms_that_are_not_quite_the_standards_never_end_sooner_than_asked(value: str, wait: int | None) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1m30s", 90),
        ("1m 30s", 90),
        ("1m30", 90),
        ("1 min. 30 sec.", 90),
        ("1 minute and 30 seconds", 90),
        ("1 minute, 30 seconds", 90),
        ("0h2m", 120),
        ("1h", 3600),
        ("2 hrs", 3600),
        ("1d", 3600),
        ("1500ms", 2),
        ("1500 milliseconds", 2),
        ("1m 500ms", 61),
        ("PT2M", 120),
        ("pt2m", 120),
        ("PT1M30S", 90),
        ("PT1.5S", 2),
        ("PT9,5S", 10),
        ("P0DT0H1M", 60),
        ("P1D", 3600),
        ("P1M", 3600),
        ("00:02:00", 120),
        ("0:02:00.5", 121),
        ("1:30", 3600),
        ("120;x", 120),
        ("120; reason=busy", 120),
        ("120 (busy)", 120),
        ("5;90", 90),
        ("120 seconds", 120),
        ("5, 30 seconds", 30),
        ("30 seconds, 60 seconds", 60),
        ("5, 10 min", 600),
        ("90,", 90),
        (",90", 90),
        ("<120>", 120),
        ("[120]", 120),
        ("in 120 seconds", 120),
        ("Retry-After: 120", 120),
        ("seconds=120", 120),
        ("minutes=2", 120),
        ("120\u00a0seconds", 120),
        ("Tue, 24 Nov 2026 03:02:00 GMT; x", 120),
        ("Tue, 24 Nov 2026 03:02:00 GMT, PT3M", 180),
        ("soon; 7", 7),
        ("30,5 s", 31),
        ("30,5", 31),
        ("5,90", 90),
        ("1,000", 1000),
        ("1,000 s", 1000),
        ("1,000,000", 3600),
        ("~30", 30),
        ("30 seconds from now", 30),
        ("in 1 minute and 30 seconds from now", 90),
        ("until Tue, 24 Nov 2026 03:02:00 GMT", 120),
        ("after 2026-11-24T03:02:00Z", 120),
        ("Until: 24 Nov 2026 03:02:00", 120),
        ("2026/11/24 03:02:00", 120),
    ],
)
def test_what_can_be_read_is_read_and_never_ends_sooner_than_asked(value: str, wait: int) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize(
    "value",
    [
        "-PT2M",
        "PT",
        "P",
        "T5",
        "- 5",
        "in -5",
        "5 -",
        "30s1m",
        "1x",
        "x1",
        "1:2:3:4",
        "::",
        "e5",
        "1e",
        "5 90",
        "()",
        ";,;",
    ],
)
def test_a_retry_after_without_a_wait_is_ignored(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


UNIT_NAMES = [(3600, ["h", " hours"]), (60, ["m", " min", "minutes"]), (1, ["s", " sec", " seconds"])]


@given(st.tuples(st.integers(0, 1), st.integers(0, 59), st.integers(0, 59)), st.data())
def test_parts_of_a_wait_add_up_however_they_are_spelled(parts: tuple[int, int, int], data: st.DataObject) -> None:
    spelled = [f"{part}{data.draw(st.sampled_from(UNIT_NAMES[at][1]))}" for at, part in enumerate(parts)]
    text = data.draw(st.sampled_from([" ", ", ", " and "])).join(spelled)
    total = sum(part * unit for part, (unit, _) in zip(parts, UNIT_NAMES, strict=True))
    for value in (text, f"PT{parts[0]}H{parts[1]}M{parts[2]}S", "{}:{:02}:{:02}".format(*parts)):
        assert parse_retry_after(value, NOW) == min(total, MAX_SECONDS)


def test_a_date_counts_from_the_servers_own_clock_where_that_is_behind_ours() -> None:
    until = "Tue, 24 Nov 2026 03:02:00 GMT"
    assert parse_retry_after(until, NOW, "Tue, 24 Nov 2026 02:55:00 GMT") == 420
    assert parse_retry_after(until, NOW, "Tue, 24 Nov 2026 03:01:30 GMT") == 120
    assert parse_retry_after(until, NOW, "whenever") == 120


@given(st.text() | st.from_regex(r"[-+0-9.,:;TZGMT eE]{0,30}", fullmatch=True))
def test_no_header_costs_a_delivery(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or 0 <= wait <= MAX_SECONDS


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=5))
def test_of_several_values_the_longest_counts(values: list[int]) -> None:
    assert parse_retry_after(", ".join(map(str, values)), NOW) == max(values)
