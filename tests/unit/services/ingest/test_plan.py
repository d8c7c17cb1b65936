"""Plans of polls: nothing is left out, nothing is read before its time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enums import LogType
from app.services.ingest import plan
from tests.profiles import examples

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
SETTLE = timedelta(hours=72)
DAY = timedelta(days=1)


def planned(log_type: LogType, complete_until: datetime | None, read_from: datetime | None = None) -> plan.Plan:
    return plan.plan_poll(log_type, None, complete_until, read_from, NOW, backfill=DAY, retention=90 * DAY)


@given(
    st.sampled_from(LogType),
    st.timedeltas(timedelta(0), timedelta(days=28)),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=28)),
)
def test_slices_cover_all_that_was_not_read(log_type: LogType, behind: timedelta, read: timedelta | None) -> None:
    complete_until = NOW - behind
    read_from = None if read is None else max(complete_until, NOW - read)
    got = planned(log_type, complete_until, read_from)
    assert got.gap is None
    covered = max(complete_until, read_from or complete_until)
    for piece in got.slices[:-1]:
        assert piece.until is not None
        assert piece.since <= covered
        covered = max(covered, piece.until)
    assert got.slices[-1].until is None
    assert got.slices[-1].since <= covered
    if log_type != LogType.ERROR:
        # The filters of calls and messages drop what has no time yet: the head goes back over all of it.
        assert got.slices[-1].since <= complete_until


def test_logs_that_twilio_no_longer_lists_are_a_gap() -> None:
    got = planned(LogType.ERROR, NOW - 40 * DAY)
    assert got.gap is not None
    assert (got.gap.since, got.gap.until) == (NOW - 40 * DAY, got.since)
    assert planned(LogType.MESSAGE, NOW - 40 * DAY).gap is None


@pytest.mark.hunt
@settings(max_examples=examples(15))
@given(st.floats(10 / 60, 57), st.integers(30, 600), st.integers(0, 10**6))
def test_a_log_that_becomes_visible_late_is_swept_before_it_is_a_quarter_older(
    hours: float, interval: int, phase: int
) -> None:
    age = timedelta(hours=hours)
    visible_at = NOW + timedelta(seconds=phase % interval)
    swept_at: dict[str, object] = {}
    # The state of sweeps has settled long before.
    now = visible_at - age * 2 - timedelta(hours=1)
    now = NOW - timedelta(seconds=interval) * int((NOW - now) / timedelta(seconds=interval))
    while True:
        next_poll = now + timedelta(seconds=interval)
        depth = plan.due_sweep(swept_at, now, next_poll, SETTLE)
        if depth is not None:
            swept_at = plan.record_sweep(swept_at, now - depth, now, SETTLE)
            if now >= visible_at and now - depth <= visible_at - age:
                break
        assert now <= visible_at + age / 4 + timedelta(seconds=interval)
        now = next_poll


def test_the_farthest_sweep_after_an_outage_continues_where_the_last_one_began() -> None:
    before = plan.record_sweep({}, None, NOW, SETTLE)
    later = NOW + timedelta(days=9)
    since = plan.sweep_since(before, SETTLE, later, SETTLE)
    assert since == NOW - SETTLE
    head = plan.record_sweep(before, NOW - timedelta(minutes=11), later, SETTLE)
    assert plan.due_sweep(head, later, later + timedelta(minutes=5), SETTLE) == SETTLE
    assert (
        plan.due_sweep(plan.record_sweep(head, since, later, SETTLE), later, later + timedelta(minutes=5), SETTLE)
        is None
    )
