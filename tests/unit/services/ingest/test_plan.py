"""Plans of polls: nothing is left out, nothing is read before its time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enums import LogType
from app.services.ingest import plan

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


def sweeps(interval: timedelta) -> list[tuple[datetime, datetime]]:
    """Poll for long enough that sweeps of every depth have settled; return when each sweep began, and from when on."""
    swept_at: dict[str, object] = {}
    found = []
    now = NOW
    while now < NOW + 3 * SETTLE:
        depth = plan.due_sweep(swept_at, now, now + interval, SETTLE)
        if depth is not None:
            since = plan.sweep_since(swept_at, depth, now, SETTLE)
            swept_at = plan.record_sweep(swept_at, since, now, SETTLE)
            found.append((now, since))
        now += interval
    return found


@pytest.mark.parametrize("seconds", [60, 299, 600])
def test_a_log_that_becomes_visible_late_is_swept_before_it_is_a_quarter_older(seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    made = sweeps(interval)
    nearer = [plan.MIN_SWEEP_DEPTH, *plan.sweep_depths(SETTLE)]
    # The youngest and the oldest log that only the next deeper sweep finds are the hardest to find in time.
    ages = [depth / 1.25 * factor for depth in nearer for factor in (0.9, 0.9999, 1.0001, 1.1, 1.24)]
    for age in (age for age in ages if plan.OVERLAP <= age <= SETTLE / 1.25):
        far = [(at, since) for at, since in made if since <= at - age]
        for index, (at, _) in enumerate(far):
            if NOW + 2 * SETTLE <= at <= NOW + 2.5 * SETTLE:
                # It becomes visible in the moment after one sweep, too late for it.
                found_at = next(later for later, since in far[index + 1 :] if since <= at - age)
                assert found_at - at <= age / 4 + interval, age


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
