"""Nothing is missed: late rows, late changes, backlogs, caps, gaps, and the request budget."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.database import session_scope
from app.enums import LogType
from app.models import Stream
from app.services.ingest import poll_run
from scripts.twilio_simulator import DateFilters
from scripts.twilio_simulator.faults import FaultKind
from tests.integration.ingest.world import START, World, minutes, most_in_a_minute


def play(world: World, hours: float, *log_types: LogType, step: float = 300) -> None:
    """Let a worker poll what is due, every `step` seconds, for so long."""
    world.configured(poll_interval_seconds=int(step))
    end = world.clock.now + timedelta(hours=hours)
    while world.clock.now < end:
        world.tick(*log_types)
        world.advance(seconds=step)


@pytest.mark.parametrize(("kind", "hours"), [("message", 0.5), ("call", 3), ("error", 20), ("message", 50)])
def test_a_log_that_becomes_visible_late_is_found_before_it_is_a_quarter_older(
    world: World, kind: str, hours: float
) -> None:
    step = 300 if hours < 5 else 3600
    play(world, step / 3600, LogType(kind), step=step)
    add = getattr(world.simulator, f"add_{kind}")
    created = world.clock.now
    sid = add(visible_after=timedelta(hours=hours))
    while sid not in world.logs():
        add()  # the newest that is known is newer than the late one
        play(world, step / 3600, LogType(kind), step=step)
        assert world.clock.now - created <= timedelta(hours=hours) * 1.25 + timedelta(seconds=2 * step)


@pytest.mark.parametrize("days", [1.7, 3, 9, 25, 40])
def test_logs_that_become_visible_late_during_an_outage_are_found_after_it(world: World, days: float) -> None:
    play(world, 1, LogType.ERROR, step=1800)
    sid = world.simulator.add_error(visible_after=timedelta(hours=36))
    play(world, 6, LogType.ERROR, step=1800)
    world.advance(days=days)
    play(world, 2, LogType.ERROR, step=1800)
    assert (sid in world.logs()) == (days < 30)
    assert world.stream(LogType.ERROR).failures == 0


def test_sweeps_ask_for_no_more_of_the_error_log_than_twilio_tells(world: World) -> None:
    world.configured(settle_hours=1000)
    world.poll(LogType.ERROR)
    world.advance(days=60)
    world.poll(LogType.ERROR)
    world.advance(days=20)
    world.poll(LogType.ERROR)
    assert world.stream(LogType.ERROR).failures == 0


@pytest.mark.parametrize("hours", [0.2, 1, 5, 10, 60])
def test_a_change_is_noticed_before_the_log_is_a_quarter_older(world: World, hours: float) -> None:
    step = 300 if hours < 5 else 3600
    play(world, 0.1, LogType.MESSAGE, step=step)
    created = world.clock.now
    sid = world.simulator.add_message(status="sent")
    age = timedelta(hours=hours)
    world.simulator.change(sid, at=created + age, status="delivered")
    share = 1.25 if hours < 6 else 1.5
    while not (sid in world.logs() and world.log(sid).status == "delivered"):
        play(world, step / 3600, LogType.MESSAGE, step=step)
        assert world.clock.now - created <= age * share + timedelta(seconds=2 * step)


def test_a_message_that_stays_sent_is_given_up_after_settling(world: World) -> None:
    sid = world.simulator.add_message(at=START - minutes(1), status="sent")
    play(world, 76, LogType.MESSAGE, step=4 * 3600)
    assert world.log(sid).reread_at is None
    assert not world.log(sid).final
    world.simulator.requests.clear()
    play(world, 12, LogType.MESSAGE, step=4 * 3600)
    assert not any(sid in path for path in world.simulator.request_counts())


def test_a_scheduled_message_is_watched_until_it_is_sent(world: World) -> None:
    sid = world.simulator.add_message(status="scheduled", date_sent=None)
    sent_at = START + timedelta(days=20)
    world.simulator.change(sid, at=sent_at, status="sent", date_sent=sent_at)
    world.simulator.change(sid, at=sent_at + minutes(1), status="undelivered", error_code=30003)
    play(world, 31 * 24, LogType.MESSAGE, step=12 * 3600)
    assert world.log(sid).error_code == 30003


def test_settling_is_counted_from_the_sending_not_from_the_creation(world: World) -> None:
    """A message that left its schedule twenty days after it was made is not sent yet when it is read next."""
    sid = world.simulator.add_message(status="scheduled", date_sent=None)
    play(world, 0.5, LogType.MESSAGE)
    world.advance(days=20)
    world.simulator.change(sid, status="queued")
    play(world, 0.2, LogType.MESSAGE)
    assert world.log(sid).status == "queued"
    assert world.log(sid).reread_at is not None
    world.simulator.change(
        sid, at=world.clock.now + timedelta(hours=1), status="failed", error_code=30036, date_sent=None
    )
    world.advance(days=12)
    play(world, 0.2, LogType.MESSAGE)
    assert world.log(sid).error_code == 30036


def test_a_call_that_ends_long_after_settling_is_found_by_its_end(world: World) -> None:
    world.configured(settle_hours=1)
    sid = world.simulator.add_call(status="in-progress", end_time=None, duration=None)
    play(world, 6, LogType.CALL, step=1200)
    assert world.log(sid).reread_at is None
    ended = world.clock.now
    world.simulator.change(sid, status="completed", end_time=ended, duration="21600")
    play(world, 0.5, LogType.CALL)
    assert (world.log(sid).status, world.log(sid).changed_at) == ("completed", ended)


def test_a_long_call_that_began_before_everything_is_found_when_it_ends(world: World) -> None:
    sid = world.simulator.add_call(at=START - timedelta(hours=40), status="in-progress", end_time=None, duration=None)
    play(world, 0.5, LogType.CALL)
    world.simulator.change(sid, status="completed", end_time=world.clock.now, duration="146000")
    play(world, 0.5, LogType.CALL)
    assert world.log(sid).status == "completed"


@pytest.mark.parametrize("undated_pass", [False, True])
@pytest.mark.parametrize("filters", list(DateFilters))
def test_a_backlog_is_read_to_its_last_log(world: World, filters: DateFilters, undated_pass: bool) -> None:
    world.simulator.habits.date_filters = filters
    world.simulator.habits.undated_pass = undated_pass
    world.poll()
    world.advance(days=5, hours=7)
    now = world.clock.now
    sids = {world.simulator.add_message(at=now - timedelta(hours=n)) for n in range(120)}
    sids |= {
        world.simulator.add_message(at=now - timedelta(hours=n), date_sent=None, status="failed")
        for n in range(0, 120, 9)
    }
    sids |= {world.simulator.add_call(at=now - timedelta(hours=n)) for n in range(120)}
    sids |= {
        world.simulator.add_call(at=now - timedelta(hours=n), start_time=None, status="canceled")
        for n in range(0, 120, 9)
    }
    sids |= {world.simulator.add_error(at=now - timedelta(hours=n)) for n in range(120)}
    world.poll()
    assert sids == set(world.logs())
    assert world.gaps() == []
    assert world.stream(LogType.CALL).complete_from == START - timedelta(hours=24)


def test_a_backlog_that_breaks_off_continues_where_it_stopped(world: World) -> None:
    world.poll()
    world.advance(days=4)
    now = world.clock.now
    sids = {world.simulator.add_error(at=now - timedelta(hours=n)) for n in range(90)}
    for _ in range(40):
        world.simulator.faults.add(FaultKind.RATE_LIMITED, path="NOWHERE")
    world.simulator.faults.clear()
    answered = []
    handle = world.simulator.handle

    def fail_after_two(request: object) -> object:
        answered.append(request)
        if len(answered) == 3:
            world.simulator.faults.add(FaultKind.UNAVAILABLE, times=5)
        return handle(request)  # type: ignore[arg-type]

    world.simulator.handle = fail_after_two  # type: ignore[assignment,method-assign]
    world.poll(LogType.ERROR)
    stream = world.stream(LogType.ERROR)
    assert stream.failures == 1
    assert stream.read_from is not None
    assert stream.complete_until == START - timedelta(seconds=60)
    before = len(answered)
    world.poll(LogType.ERROR)
    assert sids == set(world.logs())
    assert len(answered) - before <= 4


def test_a_long_listing_continues_from_the_page_where_its_poll_ran_out_of_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = {world.simulator.add_message(at=START - timedelta(seconds=n)) for n in range(3500)}
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", -1.0)
    polls = 0
    while world.stream_or_none(LogType.MESSAGE) is None or world.stream(LogType.MESSAGE).complete_until is None:
        world.poll(LogType.MESSAGE)
        polls += 1
    assert polls == 4
    assert sids == set(world.logs())
    assert world.stream(LogType.MESSAGE).resume_points == {}
    assert world.requests() <= 6


def test_more_errors_than_twilio_lists_are_read_by_halving_the_window(world: World) -> None:
    world.poll(LogType.ERROR)
    world.advance(hours=2)
    now = world.clock.now
    sids = {world.simulator.add_error(at=now - timedelta(milliseconds=300 * n)) for n in range(21_000)}
    world.poll(LogType.ERROR)
    assert len(world.logs()) == len(sids)
    assert world.gaps() == []


def test_logs_beyond_twilios_history_are_a_coverage_gap(world: World) -> None:
    world.poll()
    world.advance(days=40)
    inside = world.simulator.add_error(at=world.clock.now - timedelta(days=29))
    world.poll()
    assert inside in world.logs()
    (gap,) = world.gaps()
    assert gap.since == START - timedelta(seconds=60)
    assert gap.until == world.clock.now - timedelta(days=30) + timedelta(hours=1)
    assert world.stream(LogType.ERROR).complete_from == gap.until


def test_the_request_budget_of_a_minute_is_never_overdrawn(world: World) -> None:
    world.configured(twilio_max_requests_per_minute=5)
    for n in range(60):
        world.simulator.add_message(at=START - minutes(n * 20), status="sent")
        world.simulator.add_call(at=START - minutes(n * 20), status="ringing", end_time=None)
    play(world, 1)
    assert most_in_a_minute(world) <= 5
    assert world.stream(LogType.MESSAGE).failures == 0


def test_an_exhausted_request_budget_shows_in_the_streams_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        world.simulator.add_message(at=START - timedelta(hours=10 * n), status="scheduled", date_sent=None)
    world.configured(initial_backfill_hours=240)
    world.poll(LogType.MESSAGE)
    world.advance(days=8)
    for _ in range(1100):
        world.simulator.add_message()
    world.advance(hours=1)
    world.poll(LogType.MESSAGE)
    world.advance(days=6)
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", 1.0)
    world.configured(twilio_max_requests_per_minute=4)
    world.poll(LogType.MESSAGE)
    assert world.stream(LogType.MESSAGE).rereads_behind
    world.configured(twilio_max_requests_per_minute=1000)
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", 200.0)
    world.advance(minutes=1)
    world.poll(LogType.MESSAGE)
    assert not world.stream(LogType.MESSAGE).rereads_behind


def test_a_backlog_beyond_the_time_limit_shows_in_the_streams_state(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2100):
        world.simulator.add_message(at=START - timedelta(seconds=n))
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", -1.0)
    world.poll(LogType.MESSAGE)
    assert world.stream(LogType.MESSAGE).rereads_behind
    assert world.stream(LogType.MESSAGE).failures == 0


def test_an_unreadable_resume_point_is_dropped_and_the_list_restarted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = {world.simulator.add_message(at=START - timedelta(seconds=n)) for n in range(2500)}
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", -1.0)
    world.poll(LogType.MESSAGE)
    page_token = world.stream(LogType.MESSAGE).resume_points["slice"]["link"].partition("PageToken=")[2]
    monkeypatch.setattr(poll_run, "MAX_POLL_SECONDS", 200.0)
    world.simulator.faults.add(FaultKind.UNAVAILABLE, path=page_token, times=15)
    for _ in range(4):
        world.poll(LogType.MESSAGE)
    assert set(world.logs()) == sids
    assert world.stream(LogType.MESSAGE).complete_until == world.clock.now - timedelta(seconds=60)


def test_a_log_that_twilio_has_deleted_stays_and_is_read_no_more(world: World) -> None:
    sid = world.simulator.add_message(status="sent")
    world.poll(LogType.MESSAGE)
    world.simulator.remove(sid)
    play(world, 2, LogType.MESSAGE)
    assert world.log(sid).reread_at is None


def test_a_worker_that_dies_keeps_its_stream_from_others_for_moments_only(world: World) -> None:
    world.poll(LogType.MESSAGE)
    world.advance(minutes=5)
    with session_scope() as session:
        session.execute(update(Stream).values(due_at=world.clock.now))
    world.tick()
    assert world.stream(LogType.MESSAGE).last_success_at == world.clock.now
