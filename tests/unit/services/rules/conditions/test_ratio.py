"""`ratio`: the share of the final logs that match."""

from datetime import datetime, timedelta

from app.enums import ResolveReason
from app.services.rules.conditions.numbers import Numbers, Verdict, WindowCounts
from app.services.rules.conditions.ratio import Ratio
from tests.factories import RememberedAlert
from tests.fakes import START

RATIO = Ratio(type="ratio", percent=5, window_minutes=60, min_total=50, settle_minutes=10)


def judge(
    ratio: Ratio,
    total: int,
    matched: int,
    insufficient_since: datetime | None,
    at: datetime,
    *,
    was_holding: bool = False,
) -> Verdict:
    alert = RememberedAlert(insufficient_since=insufficient_since) if insufficient_since else None
    return ratio.judge(Numbers(at, at, lambda _: WindowCounts(total, matched), alert=alert, was_holding=was_holding))


def test_it_holds_from_the_percentage_on() -> None:
    assert judge(RATIO, 100, 5, None, START) == Verdict(True, 5.0)
    assert judge(RATIO, 100, 4, None, START) == Verdict(False, 4.0)
    assert judge(RATIO, 50, 50, None, START) == Verdict(True, 100.0)


def test_too_few_logs_neither_fire_nor_resolve() -> None:
    assert judge(RATIO, 49, 49, None, START) == Verdict(None, 100.0, insufficient_since=START)
    assert judge(RATIO, 0, 0, None, START) == Verdict(None, None, insufficient_since=START)


def test_too_few_logs_for_two_windows_end_the_alert() -> None:
    just_before = START + timedelta(minutes=119)
    assert judge(RATIO, 1, 0, START, just_before) == Verdict(None, 0.0, insufficient_since=START)
    verdict = judge(RATIO, 1, 0, START, START + timedelta(minutes=120))
    assert (verdict.holds, verdict.reason) == (False, ResolveReason.INSUFFICIENT_DATA)


def test_enough_logs_end_the_shortage() -> None:
    assert judge(RATIO, 50, 0, START, START + timedelta(hours=5)) == Verdict(False, 0.0)


def test_an_open_alert_resolves_below_the_lower_limit() -> None:
    lower = Ratio(type="ratio", percent=5, window_minutes=60, min_total=50, settle_minutes=10, resolve_percent=3)
    assert judge(lower, 100, 4, None, START) == Verdict(False, 4.0)
    assert judge(lower, 100, 3, None, START, was_holding=True) == Verdict(True, 3.0)
    assert judge(lower, 100, 2, None, START, was_holding=True) == Verdict(False, 2.0)
    assert judge(RATIO, 100, 4, None, START, was_holding=True) == Verdict(False, 4.0)
