"""Polls against a simulated Twilio: what Twilio holds is what is stored, whatever goes wrong on the way."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.database import LIMITS, session_scope
from app.enums import LogType
from app.models import Alert
from app.services import health, retention, self_monitoring
from app.services.ingest import budget, polling, quarantine, streams
from app.services.logs.raw import raw_of, unreadable_of
from scripts.twilio_simulator.faults import FaultKind
from tests.conftest import forget
from tests.integration.ingest.world import START, World, minutes


def test_everything_that_twilio_lists_is_stored_once(world: World) -> None:
    sids = {world.simulator.add_message(at=START - minutes(n)) for n in range(30)}
    sids |= {world.simulator.add_call(at=START - minutes(n)) for n in range(30)}
    sids |= {world.simulator.add_error(at=START - minutes(n)) for n in range(30)}
    world.poll()
    world.advance(minutes=5)
    world.poll()
    assert set(world.logs()) == sids
    assert all(len(world.changes(sid)) == 1 for sid in list(sids)[:5])


def test_twilios_own_record_is_put_together_again(world: World) -> None:
    sids = [
        world.simulator.add_message(at=START - minutes(3), body="Grüße\r\n\t\\N \\. 𝄞 \0", price="-0.00750"),
        world.simulator.add_message(
            at=START - minutes(3), status="queued", date_sent=None, messaging_service_sid="MG" + "1" * 32
        ),
        world.simulator.add_call(at=START - minutes(3), price="-0.01300", answered_by="human", status="completed"),
        world.simulator.add_call(at=START - minutes(3), status="queued", start_time=None, end_time=None, duration=None),
        world.simulator.add_error(at=START - minutes(3), resource_sid="CA" + "2" * 32),
    ]
    world.poll()
    for sid in sids:
        emitted = world.simulator.record(sid)
        expected = {
            k: v for k, v in emitted.record.items() if not k.startswith(("request_v", "request_h", "response_"))
        }
        if emitted.record.get("body"):
            expected["body"] = emitted.record["body"].replace("\0", "\ufffd")
        assert raw_of(world.log(sid), world.simulator.account.sid) == expected


def test_a_stream_is_complete_until_a_minute_before_its_last_whole_read(world: World) -> None:
    world.poll()
    stream = world.stream(LogType.MESSAGE)
    assert stream.complete_until == START - timedelta(seconds=60)
    assert stream.complete_from == START - timedelta(hours=24)
    assert stream.last_success_at == START
    assert stream.lease_token is None
    world.simulator.faults.add(FaultKind.UNAVAILABLE, times=50)
    world.advance(minutes=5)
    world.poll(LogType.MESSAGE)
    stream = world.stream(LogType.MESSAGE)
    assert stream.complete_until == START - timedelta(seconds=60)
    assert stream.failures == 1
    assert stream.last_error is not None


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.RATE_LIMITED,
        FaultKind.UNAVAILABLE,
        FaultKind.GATEWAY,
        FaultKind.HTML,
        FaultKind.EMPTY_BODY,
        FaultKind.CUT_BODY,
        FaultKind.CUT_JSON,
        FaultKind.RESET,
        FaultKind.EMPTY_PAGE,
        FaultKind.DUPLICATES,
        FaultKind.LOOP,
    ],
)
def test_a_failed_request_loses_no_log(world: World, kind: FaultKind) -> None:
    sids = {world.simulator.add_message(at=START - timedelta(seconds=n)) for n in range(1100)}
    world.simulator.faults.add(kind, times=2)
    world.poll(LogType.MESSAGE)
    for _ in range(2):
        world.advance(minutes=5)
        world.poll(LogType.MESSAGE)
    assert set(world.logs()) == sids
    assert world.stream(LogType.MESSAGE).failures == 0


def test_an_answer_without_end_is_not_read_to_it(world: World) -> None:
    world.simulator.faults.add(FaultKind.HUGE, times=10, size_bytes=200_000_000)
    world.poll(LogType.MESSAGE)
    assert "larger than" in (world.stream(LogType.MESSAGE).last_error or "")


def test_malformed_records_are_quarantined_and_the_rest_is_stored(world: World) -> None:
    good = world.simulator.add_message(at=START - minutes(1))
    world.simulator.add_message(at=START - minutes(2), odd=b'{"sid": 7}')
    world.simulator.add_message(at=START - minutes(2), odd=b'"text"')
    world.simulator.add_message(at=START - minutes(2), odd=b'{"sid": "SMshort", "status": "sent"}')
    world.simulator.add_message(at=START - minutes(2), odd=b'{"sid": "SM%032d", "status": "sent"}' % 0)
    read = world.simulator.add_message(at=START - minutes(2), body="x", error_code="thirty")
    world.poll(LogType.MESSAGE)
    assert set(world.logs()) == {good, read}
    assert len(world.quarantine()) == 4
    assert world.stream(LogType.MESSAGE).complete_until is not None


def test_an_unreadable_field_is_null_kept_and_noted(world: World) -> None:
    sid = world.simulator.add_message(at=START - minutes(2), status="failed", price="n/a", error_code="thirty")
    world.poll(LogType.MESSAGE)
    log = world.log(sid)
    assert (log.status, log.price, log.error_code, log.final) == ("failed", None, None, True)
    raw = raw_of(log, world.simulator.account.sid)
    assert (raw["price"], raw["error_code"]) == ("n/a", "thirty")
    assert "?" not in raw
    noted = {"price": "is not a price", "error_code": "is not a non-negative whole number"}
    assert {each["field"]: each["reason"] for each in unreadable_of(log)} == noted
    assert world.quarantine() == []


def test_a_change_whose_date_cannot_be_read_is_noticed(world: World) -> None:
    sid = world.simulator.add_message(at=START - minutes(2), status="sent")
    world.poll(LogType.MESSAGE)
    world.advance(minutes=1)
    world.simulator.change(sid, status="undelivered", error_code=30003, date_updated="soon")
    world.poll(LogType.MESSAGE)
    log = world.log(sid)
    assert (log.status, log.error_code, log.changed_at) == ("undelivered", 30003, world.clock.now)


def test_an_unreadable_body_is_kept_no_longer_than_others(world: World) -> None:
    world.configured(store_message_bodies=False)
    sid = world.simulator.add_message(at=START - minutes(2), body={"words": "secret"})
    world.poll(LogType.MESSAGE)
    assert b"secret" not in (world.log(sid).rest or b"")


def set_aside(world: World, count: int) -> None:
    for n in range(count):
        world.simulator.add_message(at=world.clock.now - minutes(1), odd=b'{"sid": %d}' % (n + 1000))
    world.poll(LogType.CALL, LogType.MESSAGE, LogType.ERROR)


def malformed(world: World) -> float:
    with session_scope() as session:
        query = "SELECT coalesce(sum(value), 0) FROM counters WHERE name = 'giftpulse_logs_malformed_total'"
        return float(session.scalar(text(query)) or 0)


def test_a_single_quarantined_record_is_named_in_the_singular(world: World) -> None:
    set_aside(world, 1)
    detail = health.examine(world.settings, world.clock.now).checks["polling"].detail
    assert "1 record quarantined in the last day" in detail


def test_quarantined_records_count_once_and_a_trickle_opens_no_alert(world: World) -> None:
    set_aside(world, 10)
    world.advance(minutes=1)
    world.poll()
    assert malformed(world) == 10
    check = health.examine(world.settings, world.clock.now).checks["polling"]
    assert check.status == "ok"
    assert "10 records quarantined in the last day" in check.detail
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        assert session.scalars(select(Alert)).all() == []


def test_more_than_a_trickle_opens_an_alert_that_ends_when_no_more_come(world: World) -> None:
    set_aside(world, 11)
    assert health.examine(world.settings, world.clock.now).checks["polling"].status == "degraded"
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        (alert,) = session.scalars(select(Alert))
        assert alert.rule_name == "Records of Twilio are set aside"
        assert "11 records" in alert.summary
    world.advance(minutes=61)
    world.poll()
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        assert session.scalars(select(Alert.status)).all() == ["resolved"]


def test_an_unknown_status_is_a_log_like_others(world: World) -> None:
    sid = world.simulator.add_message(at=START - minutes(1), status="teleported")
    world.poll(LogType.MESSAGE)
    assert world.log(sid).status == "teleported"
    assert not world.log(sid).final


def test_a_change_makes_a_version_and_a_price_moves_no_changed_at(world: World) -> None:
    sid = world.simulator.add_message(at=START - minutes(10), status="sent")
    world.poll(LogType.MESSAGE)
    world.advance(minutes=1)
    changed = world.clock.now
    world.simulator.change(sid, status="undelivered", error_code=30003)
    world.advance(minutes=1)
    world.poll(LogType.MESSAGE)
    world.advance(minutes=1)
    world.simulator.change(sid, price="-0.0075")
    world.poll(LogType.MESSAGE)
    log = world.log(sid)
    assert (log.status, log.error_code, log.changed_at, str(log.price)) == ("undelivered", 30003, changed, "-0.0075")
    assert [change.status for change in world.changes(sid)] == ["sent", "undelivered", "undelivered"]


@pytest.mark.parametrize("error_first", [True, False])
def test_a_call_takes_its_code_from_the_error_log_whichever_comes_first(world: World, error_first: bool) -> None:
    call = world.simulator.add_call(at=START - minutes(5), status="failed", end_time=START - minutes(4))
    world.simulator.add_error(at=START - minutes(2), resource_sid=call, error_code="30002")
    world.simulator.add_error(at=START - minutes(3), resource_sid=call, error_code="30001")
    world.simulator.add_error(at=START - minutes(1), resource_sid=call, error_code="12200", log_level="warning")
    order = (LogType.ERROR, LogType.CALL) if error_first else (LogType.CALL, LogType.ERROR)
    for log_type in order:
        world.poll(log_type)
    log = world.log(call)
    assert (log.error_code, log.changed_at) == (30002, START - minutes(4))
    assert [change.error_code for change in world.changes(call)] == [None, 30001, 30002]
    assert {change.changed_at for change in world.changes(call)} == {START - minutes(4)}
    assert [change.is_first for change in world.changes(call)] == [True, False, False]


def test_an_error_entry_that_comes_late_makes_a_version_and_leaves_the_newer_code(world: World) -> None:
    call = world.simulator.add_call(at=START - minutes(5), status="failed")
    world.simulator.add_error(at=START - minutes(2), resource_sid=call, error_code="30002")
    world.poll()
    world.simulator.add_error(at=START - minutes(3), resource_sid=call, error_code="30001")
    world.poll()
    assert world.log(call).error_code == 30002
    assert [change.error_code for change in world.changes(call)] == [None, 30002, 30001]


def test_two_workers_never_poll_one_stream(world: World) -> None:
    world.poll(LogType.MESSAGE)
    world.advance(minutes=10)
    stream = world.stream(LogType.MESSAGE)
    interval = timedelta(minutes=5)
    with session_scope() as session:
        first = streams.claim(session, stream.id, world.clock.now, interval)
    with session_scope() as session:
        assert streams.claim(session, stream.id, world.clock.now, interval) is None
    assert first is not None
    assert not polling.poll(stream.id, world.settings, world.clock, world.sleep)


def test_a_worker_that_slept_past_its_lease_writes_nothing(world: World) -> None:
    world.poll(LogType.MESSAGE)
    world.advance(minutes=10)
    stream = world.stream(LogType.MESSAGE)
    taken_over = []

    def sleeps_on_the_first_request(record: object) -> None:
        taken_over.append(record)

    sid = world.simulator.add_message()
    original = world.simulator.handle

    def handle(request: object) -> object:
        if not taken_over:
            taken_over.append(True)
            world.advance(minutes=10)
            with session_scope() as session:
                assert streams.claim(session, stream.id, world.clock.now, timedelta(minutes=5)) is not None
        return original(request)  # type: ignore[arg-type]

    world.simulator.handle = handle  # type: ignore[assignment,method-assign]
    assert not polling.poll(stream.id, world.settings, world.clock, world.sleep)
    assert sid not in world.logs()


def test_bodies_are_not_kept_in_quarantine_where_they_are_not_to_be_stored(world: World) -> None:
    world.configured(store_message_bodies=False)
    world.simulator.add_message(at=START - minutes(1), odd=b'{"sid": 7, "body": "secret words"}')
    world.poll(LogType.MESSAGE)
    assert "secret" not in world.quarantine()[0].record + world.quarantine()[0].reason


def test_only_the_latest_malformed_records_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(9):
        world.simulator.add_message(at=START - minutes(1), odd=b'{"sid": %d}' % n)
    world.poll(LogType.MESSAGE)
    monkeypatch.setattr(quarantine, "MAX_QUARANTINED", 4)
    retention.clean(world.settings, world.clock.now)
    assert len(world.quarantine()) == 4


def test_the_first_poll_reads_as_far_back_as_the_setting_says(world: World) -> None:
    for n in range(3200):
        world.simulator.add_message(at=START - minutes(n))
    world.configured(initial_backfill_hours=2)
    world.poll(LogType.MESSAGE)
    assert len(world.logs()) == 121
    assert world.requests() == 1


def test_logs_that_were_not_final_when_the_watch_began_are_stored(world: World) -> None:
    live = world.simulator.add_call(at=START - timedelta(hours=30), status="in-progress", end_time=None)
    world.simulator.add_call(at=START - timedelta(hours=30))
    world.poll(LogType.CALL)
    assert set(world.logs()) == {live}


def test_a_poll_that_waits_too_long_for_another_change_has_not_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.poll()
    before = world.stream(LogType.MESSAGE)
    monkeypatch.setattr("app.database.LIMITS", {**LIMITS, "lock_timeout": "100ms"})
    forget()
    world.advance(minutes=5)
    with session_scope() as other:
        other.execute(budget._LOCK, {"namespace": budget.LOCK_NAMESPACE, "account_id": before.account_id})
        with pytest.raises(OperationalError):
            world.tick(LogType.MESSAGE)
    after = world.stream(LogType.MESSAGE)
    assert (after.failures, after.last_error, after.lease_token) == (0, None, None)
    assert after.due_at == world.clock.now + polling.DATABASE_RETRY
    world.advance(seconds=5)
    assert world.tick(LogType.MESSAGE) == 1
    assert world.stream(LogType.MESSAGE).last_success_at == world.clock.now
