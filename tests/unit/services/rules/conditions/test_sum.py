"""`sum`: the amounts of a window that ended within the last day."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from app.services.rules.conditions.numbers import Amounts, Numbers, Verdict
from app.services.rules.conditions.sum import Sum, by_known_unit
from app.services.spans import Span
from tests.factories import RememberedAlert
from tests.fakes import START

SUM = Sum(type="sum", field="price", at_least=50, window_minutes=60)
LONG_AGO = START - timedelta(days=7)


def minutes(*ago_and_amount: tuple[int, int]) -> list[tuple[datetime, Decimal]]:
    """(minute, amount), each so many minutes before the start, oldest first."""
    return [(START - timedelta(minutes=ago), Decimal(amount)) for ago, amount in ago_and_amount]


def amounts(*ago_and_amount: tuple[int, int]) -> Amounts:
    """The same, all in one unit."""
    return {"USD": minutes(*ago_and_amount)}


def judge(
    known: Amounts, alerted_spans: Sequence[Span], at: datetime, first: datetime, alert_unit: str | None = None
) -> Verdict:
    alert = RememberedAlert(price_unit=alert_unit) if alert_unit else None
    return SUM.judge(Numbers(at, first, amounts=known, alerted_spans=alerted_spans, alert=alert))


def test_it_holds_while_the_latest_window_reaches_the_limit() -> None:
    assert judge(amounts((59, 20), (0, 30)), [], START, LONG_AGO) == Verdict(True, 50.0, window_ended_at=START)
    assert judge(amounts((59, 20), (0, 29)), [], START, LONG_AGO) == Verdict(False, 49.0)


def test_a_window_does_not_include_its_start() -> None:
    assert judge(amounts((60, 20), (0, 30)), [], START, LONG_AGO) == Verdict(False, 30.0)


def test_a_window_of_the_last_day_that_reached_it_fires_and_keeps_nothing_open() -> None:
    past = judge(amounts((200, 30), (190, 20)), [], START, LONG_AGO)
    assert past == Verdict(True, 0.0, window_ended_at=START - timedelta(minutes=190), is_past=True)


def test_windows_count_for_twenty_four_hours() -> None:
    day = 24 * 60
    # Matches of `day` minutes ago are in the windows that ended up to 59 minutes later.
    assert judge(amounts((day + 58, 50)), [], START, LONG_AGO).holds is True
    assert judge(amounts((day + 59, 50)), [], START, LONG_AGO).holds is False


def test_windows_that_ended_before_the_rule_do_not_count() -> None:
    known = amounts((200, 50))
    assert judge(known, [], START, START - timedelta(minutes=141)).holds is True
    assert judge(known, [], START, START - timedelta(minutes=140)).holds is False


def test_windows_that_share_time_with_an_earlier_alert_do_not_fire_again() -> None:
    known = amounts((200, 50))
    alerted = [(START - timedelta(minutes=260), START - timedelta(minutes=200))]
    assert judge(known, alerted, START, LONG_AGO).holds is False


def test_the_latest_breach_after_a_manual_resolve_ends_where_the_sum_falls_below() -> None:
    known, resolved_at = amounts((100, 50)), START - timedelta(minutes=90)
    assert SUM.breached_until(known, resolved_at, START) == START - timedelta(minutes=41)
    assert SUM.breached_until({}, resolved_at, START) == resolved_at


def test_units_are_not_added_up() -> None:
    known = {"EUR": minutes((30, 40)), "USD": minutes((20, 30))}
    assert judge(known, [], START, LONG_AGO) == Verdict(False, 40.0, unit="EUR")
    known["USD"] = minutes((20, 51))
    assert judge(known, [], START, LONG_AGO) == Verdict(True, 51.0, window_ended_at=START, unit="USD")
    assert SUM.breached_until(known, START - timedelta(minutes=9), START) == START


def test_a_past_window_of_any_unit_fires() -> None:
    known = {"EUR": minutes((200, 50)), "USD": minutes((20, 30))}
    ended_at = START - timedelta(minutes=200)
    assert judge(known, [], START, LONG_AGO) == Verdict(True, 0.0, window_ended_at=ended_at, is_past=True, unit="EUR")


def test_an_alert_keeps_its_unit_until_only_another_reaches_the_limit() -> None:
    known = {"EUR": minutes((30, 60)), "USD": minutes((30, 50))}
    assert judge(known, [], START, LONG_AGO, "USD").unit == "USD"
    known["USD"] = minutes((30, 49))
    assert judge(known, [], START, LONG_AGO, "USD").unit == "EUR"
    known["EUR"] = minutes((30, 49))
    assert judge(known, [], START, LONG_AGO, "USD") == Verdict(False, 49.0, unit="USD")


def test_amounts_with_an_unknown_unit_count_towards_each() -> None:
    known = {"": minutes((10, 20)), "EUR": minutes((30, 10)), "USD": minutes((5, 30))}
    assert by_known_unit(known) == {"EUR": minutes((30, 10), (10, 20)), "USD": minutes((10, 20), (5, 30))}
    assert judge(known, [], START, LONG_AGO) == Verdict(True, 50.0, window_ended_at=START, unit="USD")
    assert judge({"": minutes((10, 50))}, [], START, LONG_AGO) == Verdict(True, 50.0, window_ended_at=START)
