"""Counts of whole hours come from tallies, and are at every moment what counting the logs themselves gives."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Account, Log, LogTally, UntalliedHour
from app.services import retention
from app.services.logs import breakdown, stats, tallies
from app.services.logs.search import LogFilter
from tests.fakes import START
from tests.feeding import Feed, log
from tests.kits.databases import delete_all
from tests.profiles import examples

NOON = START.replace(hour=12, minute=0, second=0, microsecond=0)
LONG_AGO = NOON - timedelta(days=400)
OTHER = "AC" + "1" * 32
COLUMNS = {"from": "from_"}
PERCENTILES = text(
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.95) WITHIN GROUP (ORDER BY s)"
    " FROM unnest(CAST(:seconds AS float[])) AS s"
)


def number_of(minutes: int) -> int:
    return 1000 + minutes


outcomes = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["sent", "delivered", "undelivered"]),
        "error_code": st.sampled_from([None, 30003]),
        "from_": st.sampled_from([None, "+14155550100", "GiftPulse"]),
        "to_country": st.sampled_from(["GB", None]),
        "direction": st.sampled_from(["outbound-api", "inbound"]),
        "price": st.sampled_from([None, Decimal("-0.0075"), Decimal("0.1")]),
        "price_unit": st.sampled_from([None, "USD", "EUR"]),
    }
)
steps = st.one_of(
    st.tuples(
        st.just("store"),
        st.integers(0, 1),
        st.integers(-400, 0),
        outcomes,
        st.integers(0, 90),
        st.sampled_from([None, 2, 100]),
    ),
    st.tuples(st.just("count as earlier version")),
    st.tuples(st.just("note")),
    st.tuples(st.just("tally")),
    st.tuples(st.just("clean"), st.integers(60, 500)),
    st.tuples(st.just("forget account")),
)


class TallyCase:
    """Two accounts, whose logs come and change as a test tells."""

    def __init__(self) -> None:
        with session_scope() as session:
            delete_all(session)
        self.feeds = [Feed(LONG_AGO), Feed(LONG_AGO, OTHER)]
        self.now = NOON

    def store(
        self, feed: int, minutes: int, fields: dict[str, Any], delay: int, read_after_seconds: int | None = None
    ) -> None:
        """Store a log of so many minutes ago, or a newer version of it: read soon after its creation, or now."""
        self.now += timedelta(seconds=1)
        at = NOON + timedelta(minutes=minutes)
        fresh = log(number_of(minutes), at, **fields, changed_at=at + timedelta(seconds=delay), updated_at=self.now)
        read_at = self.now if read_after_seconds is None else at + timedelta(seconds=delay + read_after_seconds)
        self.feeds[feed].store([fresh], read_at)

    def count_as_earlier_version(self) -> None:
        """Leave tallies that know neither prices nor how many messages were seen in time."""
        with session_scope() as session:
            session.execute(text("UPDATE log_tallies SET price = NULL"))
            session.execute(text("UPDATE delay_tallies SET timed = 0"))

    def note(self) -> None:
        tallies._mark_changed_hours()

    def tally(self) -> None:
        tallies.catch_up(NOON, LONG_AGO, 60)

    def clean(self, minutes: int) -> None:
        """Let the retention drop what is older than so many minutes, a little at a time."""
        kept = get_settings().model_copy(update={"retention_days": 1})
        retention.clean(kept, NOON - timedelta(minutes=minutes) + timedelta(days=1))

    def forget_account(self) -> None:
        with session_scope() as session:
            session.execute(text("DELETE FROM accounts WHERE sid = :sid"), {"sid": OTHER})
        self.feeds[1] = Feed(LONG_AGO, OTHER)


def stored(wanted: LogFilter) -> Iterator[tuple[Log, str]]:
    """The logs that a filter lets through, by the simplest means."""
    with session_scope() as session:
        for each, sid in session.execute(select(Log, Account.sid).join(Account, Account.id == Log.account_id)):
            assert wanted.since is not None
            assert wanted.until is not None
            inside = wanted.since <= each.occurred_at < wanted.until
            country = each.to_country or "none"
            fits = each.status in (wanted.status or (each.status,)) and country in (wanted.to_country or (country,))
            if inside and fits and sid in (wanted.account_sid or (sid,)):
                yield each, sid


def expected(wanted: LogFilter, by: str | None) -> Counter[tuple[datetime, Any]]:
    found: Counter[tuple[datetime, Any]] = Counter()
    for each, sid in stored(wanted):
        value = None if by is None else sid if by == "account_sid" else getattr(each, COLUMNS.get(by, by))
        found[each.occurred_at.replace(minute=0, second=0), value] += 1
    return found


def check_counts(wanted: LogFilter, *fields: str) -> None:
    for by in fields:
        with session_scope() as session:
            counted = stats.Snapshot(session).count(wanted, "hour", by)
        assert {(each.at, each.value): each.count for each in counted} == expected(wanted, by), by


def check_delivery(wanted: LogFilter) -> None:
    delays = defaultdict(list)
    final: Counter[datetime] = Counter()
    delivered: Counter[datetime] = Counter()
    for each, _ in stored(wanted):
        if each.final and (each.direction or "").startswith("outbound"):
            hour = each.occurred_at.replace(minute=0, second=0)
            final[hour] += 1
            delivered[hour] += each.status == "delivered"
            if each.final_at is not None:
                delays[hour].append((each.final_at - each.occurred_at).total_seconds())
    with session_scope() as session:
        rows = stats.Snapshot(session).delivery(wanted, "hour")
        assert {row.at: (row.final, row.delivered) for row in rows} == {
            hour: (final[hour], delivered[hour]) for hour in final
        }
        for row in rows:
            percentiles = session.execute(PERCENTILES, {"seconds": delays[row.at]}).one()
            assert [row.p50, row.p95] == pytest.approx(list(percentiles))


def check_breakdown(wanted: LogFilter, by: str) -> None:
    """Compare the breakdown with a filter that tallies do not know, so that the logs answer."""
    found = []
    for each in (wanted, replace(wanted, q="")):
        with session_scope() as session:
            found.append([breakdown.to_json(row) for row in breakdown.break_down(session, each, by)])
    assert found[0] == found[1]


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(3),
    phases=(Phase.explicit, Phase.generate),
)
@given(drawn_steps=st.lists(steps, min_size=1, max_size=10), span=st.tuples(st.integers(1, 420), st.integers(0, 300)))
def test_counts_equal_those_of_the_logs_after_any_changes(
    drawn_steps: list[tuple[Any, ...]], span: tuple[int, int], database: str
) -> None:
    case = TallyCase()
    until = NOON + timedelta(minutes=30 - span[0] % 60)
    everything = LogFilter(since=until - timedelta(minutes=span[0] + span[1]), until=until)
    for step, *details in drawn_steps:
        getattr(case, step.replace(" ", "_"))(*details)
        check_counts(everything, "status", "from")
        check_delivery(everything)
        check_breakdown(everything, "to_country")
    case.tally()
    for wanted in (
        everything,
        LogFilter(status=("delivered", "sent"), since=NOON - timedelta(hours=8), until=until),
        LogFilter(account_sid=(OTHER,), since=NOON - timedelta(hours=8), until=until),
        LogFilter(to_country=("none",), since=NOON - timedelta(hours=8), until=until),
    ):
        check_counts(wanted, "status", "error_code", "from", "to_country", "direction", "account_sid")
        check_delivery(wanted)
        for by in ("to_country", "messaging_service_sid", "error_code"):
            check_breakdown(wanted, by)


def test_hours_that_are_over_are_tallied_and_one_that_a_change_touches_is_read_until_it_is_tallied_again(
    database: str,
) -> None:
    case = TallyCase()
    ten = NOON - timedelta(hours=2)
    case.store(0, -90, {"status": "sent"}, 0)
    case.store(0, 10, {"status": "sent"}, 0)
    case.tally()
    with session_scope() as session:
        assert session.execute(select(LogTally.hour, LogTally.logs)).all() == [(ten, 1)]
        assert session.scalars(select(UntalliedHour.hour)).all() == [NOON]
        # What the tallies say is what is told: nothing reads the logs of an hour whose tally holds.
        session.execute(text("UPDATE log_tallies SET logs = 7"))
    wanted = LogFilter(since=ten, until=NOON)
    with session_scope() as session:
        assert [each.count for each in stats.Snapshot(session).count(wanted, "day", "status")] == [7]
    case.store(0, -90, {"status": "delivered"}, 5)
    with session_scope() as session:
        assert [(each.value, each.count) for each in stats.Snapshot(session).count(wanted, "day", "status")] == [
            ("delivered", 1)
        ]
    case.tally()
    with session_scope() as session:
        assert tallies.untallied(session, ten, NOON) == []


def test_two_that_tally_at_once_do_not_disturb_each_other(database: str) -> None:
    case = TallyCase()
    case.store(0, -90, {"status": "sent"}, 0)
    with session_scope() as session:
        assert tallies._try_lock(session)
        case.tally()
    with session_scope() as session:
        assert session.scalar(select(func.count()).select_from(LogTally)) == 0
    case.tally()
    with session_scope() as session:
        assert session.scalar(select(func.count()).select_from(LogTally)) == 1
