"""The rate, the breaker and the end of an action, as numbers."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.services.outbox import limits
from app.services.outbox.backoff import next_attempt_at

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SCHEDULE = st.lists(st.integers(0, 100_000), max_size=10)


@given(SCHEDULE, st.integers(1, 12), st.none() | st.floats(0, 3600), st.floats(0, 1, exclude_max=True))
def test_a_retry_is_never_earlier_than_schedule_and_receiver_ask(
    schedule: list[int], attempts: int, asked: float | None, rng: float
) -> None:
    at = next_attempt_at(schedule, attempts, NOW, asked, lambda: rng)
    if attempts > len(schedule):
        assert at is None
    else:
        wait = schedule[attempts - 1]
        assert at is not None
        seconds = (at - NOW).total_seconds()
        assert max(wait, asked or 0) - 1e-3 <= seconds <= max(wait + min(wait * 0.2, 900), asked or 0) + 1e-3


def test_retries_of_one_moment_are_spread_over_a_fifth_of_the_wait_and_a_quarter_of_an_hour_at_most() -> None:
    for wait, spread in [(5, 1), (600, 120), (36_000, 900)]:
        assert next_attempt_at([wait], 1, NOW, None, lambda: 0.0) == NOW + timedelta(seconds=wait)
        assert next_attempt_at([wait], 1, NOW, None, lambda: 1.0) == NOW + timedelta(seconds=wait + spread)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 5)), max_size=60))
def test_no_second_takes_more_than_the_rate_and_its_burst(steps: list[tuple[float, int]]) -> None:
    now, free_at, consumed = NOW, None, []
    for wait, wanted in steps:
        now += timedelta(seconds=wait)
        count = min(wanted, limits.available_burst(free_at, now))
        free_at = limits.advance_rate(free_at, now, count)
        consumed.append((now, count))
    for start, _ in consumed:
        within = sum(count for at, count in consumed if start <= at < start + timedelta(seconds=1))
        assert within <= limits.BURST + limits.PER_SECOND


def test_the_burst_is_used_up_and_comes_back() -> None:
    free_at = limits.advance_rate(None, NOW, limits.BURST)
    assert limits.available_burst(None, NOW) == limits.BURST
    assert limits.available_burst(free_at, NOW) == 0
    assert limits.available_burst(free_at, NOW + timedelta(seconds=1)) == limits.PER_SECOND
    assert limits.available_burst(free_at, NOW + timedelta(hours=1)) == limits.BURST


def test_the_breaker_opens_after_five_failures_and_probes_ever_more_seldom() -> None:
    waits = [(limits.probe_at(failures, NOW) or NOW) - NOW for failures in range(12)]
    assert waits[:5] == [timedelta(0)] * 5
    assert waits[5:9] == [timedelta(seconds=wait) for wait in (30, 60, 120, 240)]
    assert set(waits[9:]) == {timedelta(minutes=5)}
    assert limits.probe_at(10_000, NOW) == NOW + timedelta(minutes=5)


def test_an_action_is_given_up_after_five_days() -> None:
    assert not limits.has_failed_for_long(None, NOW)
    assert not limits.has_failed_for_long(NOW - timedelta(days=4, hours=23), NOW)
    assert limits.has_failed_for_long(NOW - timedelta(days=5), NOW)
