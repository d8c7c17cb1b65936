"""What always holds of lists, whatever happens while they are read."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scripts.twilio_simulator import DateFilters, Kind, Request, Simulator, SimulatorClock

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)
ages = st.lists(st.integers(0, 200_000), max_size=25)
kinds = st.sampled_from(list(Kind))


def frozen() -> Simulator:
    return Simulator(clock=SimulatorClock(frozen_at=NOW))


def pages(simulator: Simulator, kind: Kind, query: str) -> Iterator[list[str]]:
    """Read a list page by page, following its links."""
    account = simulator.account
    password = b64encode(f"{account.sid}:{account.auth_token}".encode()).decode()
    first = f"/2010-04-01/Accounts/{account.sid}/{kind.resource}.json"
    link = ("/v1/Alerts" if kind is Kind.ERROR else first) + "?" + query
    while link:
        response = simulator.handle(Request("GET", link, {"authorization": f"Basic {password}"}))
        document: Any = json.loads(response.body)
        yield [record["sid"] for record in document[kind.key]]
        link = document["meta"]["next_page_url"] if kind is Kind.ERROR else document["next_page_uri"]


@given(kind=kinds, before=ages, size=st.integers(1, 9), late=st.lists(st.integers(0, 200_000), max_size=9))
def test_every_record_is_listed_once_whatever_is_added_meanwhile(
    kind: Kind, before: list[int], size: int, late: list[int]
) -> None:
    simulator = frozen()
    known = [simulator.add(kind, at=NOW - timedelta(seconds=age)) for age in before]
    read: list[str] = []
    for page in pages(simulator, kind, f"PageSize={size}"):
        read += page
        if late:
            simulator.add(kind, at=NOW - timedelta(seconds=late.pop()))
    assert len(read) == len(set(read))
    assert set(known) <= set(read)


@given(kind=kinds, before=ages, size=st.integers(1, 9))
def test_lists_are_newest_first(kind: Kind, before: list[int], size: int) -> None:
    simulator = frozen()
    for age in before:
        simulator.add(kind, at=NOW - timedelta(seconds=age))
    read = [simulator.record(sid) for page in pages(simulator, kind, f"PageSize={size}") for sid in page]
    moments = [item.created_at for item in read]
    assert moments == sorted(moments, reverse=True)


@given(sent=st.lists(st.integers(0, 400_000) | st.none(), max_size=25), days=st.integers(0, 4))
def test_a_filter_by_day_finds_what_was_sent_since_that_day_began(sent: list[int | None], days: int) -> None:
    simulator = frozen()
    moments = [None if age is None else NOW - timedelta(seconds=age) for age in sent]
    sids = [simulator.add_message(at=NOW - timedelta(days=5), date_sent=moment) for moment in moments]
    day = (NOW - timedelta(days=days)).date()
    read = [
        sid for page in pages(simulator, Kind.MESSAGE, f"DateSent%3E={day}T23%3A00%3A00Z&PageSize=3") for sid in page
    ]
    wanted = {sid for sid, moment in zip(sids, moments, strict=True) if moment and moment.date() >= day}
    assert set(read) == wanted


@given(
    stored=st.lists(st.integers(0, 400_000), max_size=25), first=st.integers(0, 400_000), span=st.integers(0, 400_000)
)
def test_the_error_log_is_cut_to_the_second(stored: list[int], first: int, span: int) -> None:
    simulator = frozen()
    sids = [
        simulator.add_error(at=NOW - timedelta(seconds=age + 100), date_created=NOW - timedelta(seconds=age))
        for age in stored
    ]
    start, end = NOW - timedelta(seconds=first + span), NOW - timedelta(seconds=first)
    query = f"StartDate={start:%Y-%m-%dT%H:%M:%SZ}&EndDate={end:%Y-%m-%dT%H:%M:%SZ}&PageSize=3"
    read = [sid for page in pages(simulator, Kind.ERROR, query) for sid in page]
    assert set(read) == {sid for sid, age in zip(sids, stored, strict=True) if first <= age <= first + span}


@given(sent=st.lists(st.integers(0, 400_000), max_size=25), first=st.integers(0, 400_000))
def test_an_exact_filter_honours_the_time_of_day(sent: list[int], first: int) -> None:
    simulator = frozen()
    simulator.habits.date_filters = DateFilters.EXACT
    sids = [simulator.add_message(at=NOW - timedelta(seconds=age)) for age in sent]
    since = NOW - timedelta(seconds=first)
    read = [sid for page in pages(simulator, Kind.MESSAGE, f"DateSent%3E={since:%Y-%m-%dT%H:%M:%SZ}") for sid in page]
    assert set(read) == {sid for sid, age in zip(sids, sent, strict=True) if age <= first}
