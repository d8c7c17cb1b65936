"""Several accounts against a simulated Twilio: keys, subaccounts, and spans that are read again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.enums import LogType
from app.errors import Conflict, NotFound
from app.models import Account, Alert, Backfill, Stream
from app.services import health, self_monitoring
from app.services.ingest import account_admin, account_state, backfills, subaccounts
from scripts.twilio_simulator import KeyKind
from scripts.twilio_simulator.faults import FaultKind
from tests.integration.ingest.world import START, World, minutes
from tests.kits.waiting import PATIENCE_SECONDS, wait_until


def state(world: World, sid: str) -> dict[str, object]:
    with session_scope() as session:
        return account_state.account_json(session, account_admin.get(session, sid), world.settings, world.clock.now)


def refresh(world: World) -> None:
    subaccounts.refresh_due(world.settings, world.clock, world.sleep)


def test_an_account_is_read_with_an_api_key(world: World) -> None:
    account = world.simulator.add_account()
    key = world.simulator.add_key(account.sid, KeyKind.STANDARD)
    sid = world.simulator.add_message(account_sid=account.sid)
    with session_scope() as session:
        values = {"sid": account.sid, "api_key_sid": key.sid, "api_key_secret": key.secret}
        account_admin.create(session, world.settings, values, world.clock.now)
    world.poll()
    assert sid in world.logs()
    refresh(world)
    assert "could not be read" in str(state(world, account.sid)["last_error"])


def test_subaccounts_are_found_and_read_with_the_parents_credentials(world: World) -> None:
    child = world.simulator.add_account(parent_sid=world.simulator.account.sid, friendly_name="Child")
    asleep = world.simulator.add_account(parent_sid=world.simulator.account.sid, status="suspended")
    mine = world.simulator.add_error()
    theirs = world.simulator.add_error(account_sid=child.sid)
    message = world.simulator.add_message(account_sid=child.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    world.poll()
    logs = world.logs()
    assert {mine, message} <= set(logs)
    assert theirs not in logs
    shown = state(world, child.sid)
    assert (shown["parent_sid"], shown["friendly_name"], shown["status"]) == (
        world.simulator.account.sid,
        "Child",
        "active",
    )
    error_log = shown["streams"][2]  # type: ignore[index]
    assert error_log["unavailable"]
    assert "own key" in error_log["last_error"]
    with session_scope() as session:
        assert session.scalar(select(Account.id).where(Account.sid == asleep.sid)) is None
        assert child.auth_token not in str(session.execute(select(Account)).scalars().all())


def test_an_api_key_for_reading_keeps_the_auth_token_from_finding_no_subaccounts(world: World) -> None:
    account = world.simulator.account
    key = world.simulator.add_key(account.sid, KeyKind.STANDARD)
    child = world.simulator.add_account(parent_sid=account.sid)
    secret = SecretStr(key.secret)
    world.configured(twilio_include_subaccounts=True, twilio_api_key_sid=key.sid, twilio_api_key_secret=secret)
    world.poll()
    refresh(world)
    assert state(world, child.sid)["status"] == "active"
    assert state(world, account.sid)["last_error"] is None


def test_a_subaccount_with_a_key_of_its_own_shows_its_error_log(world: World) -> None:
    child = world.simulator.add_account(parent_sid=world.simulator.account.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    sid = world.simulator.add_error(account_sid=child.sid)
    with session_scope() as session:
        account = account_admin.get(session, child.sid, lock=True)
        account_admin.edit(session, world.settings, account, {"auth_token": child.auth_token}, world.clock.now)
    world.poll()
    assert sid in world.logs()


def test_a_closed_subaccount_is_read_no_more(world: World) -> None:
    child = world.simulator.add_account(parent_sid=world.simulator.account.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    world.poll()
    world.simulator.set_account(child.sid, status="closed")
    world.advance(minutes=20)
    refresh(world)
    assert state(world, child.sid)["status"] == "closed"
    world.simulator.requests.clear()
    world.advance(minutes=10)
    world.tick()
    assert not any(child.sid in seen.target for seen in world.simulator.requests)
    streams = state(world, child.sid)["streams"]
    assert all(stream["unavailable"] and "closed" in stream["last_error"] for stream in streams)  # type: ignore[attr-defined]
    world.simulator.set_account(child.sid, status="active")
    world.advance(minutes=20)
    refresh(world)
    assert [stream["unavailable"] for stream in state(world, child.sid)["streams"]] == [False, False, True]  # type: ignore[attr-defined]


def test_a_check_that_finds_nothing_new_writes_no_stream(world: World) -> None:
    for _ in range(2):
        world.simulator.add_account(parent_sid=world.simulator.account.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    with session_scope() as session:
        before = session.execute(text("SELECT id, xmin FROM streams ORDER BY id")).all()
    world.advance(minutes=20)
    refresh(world)
    with session_scope() as session:
        assert session.execute(text("SELECT id, xmin FROM streams ORDER BY id")).all() == before


def test_a_closed_subaccount_is_no_account_that_cannot_be_read(world: World) -> None:
    child = world.simulator.add_account(parent_sid=world.simulator.account.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    world.poll()
    world.simulator.set_account(child.sid, status="closed")
    world.advance(days=1)
    refresh(world)
    world.poll()
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        assert session.scalars(select(Alert)).all() == []
    assert health.examine(world.settings, world.clock.now).checks["polling"].status == "ok"


def test_a_subaccount_that_would_be_found_again_is_disabled_not_deleted(world: World) -> None:
    child = world.simulator.add_account(parent_sid=world.simulator.account.sid)
    world.configured(twilio_include_subaccounts=True)
    world.poll()
    refresh(world)
    with session_scope() as session, pytest.raises(Conflict, match="disable it instead"):
        account_admin.delete(session, account_admin.get(session, child.sid))


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_account_that_twilio_suspends_alerts_once_and_is_retried_slowly(world: World, status: str) -> None:
    world.poll()
    world.simulator.set_account(status=status)
    for _ in range(24):
        world.advance(minutes=5)
        world.tick()
    asked = [seen for seen in world.simulator.requests if seen.at > START]
    assert len(asked) <= 3 * (3 + 2 * 4)
    with session_scope() as session:
        session.execute(update(Account).values(friendly_name="Acme"))
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        (alert,) = session.scalars(select(Alert))
        assert alert.group == {"account_sid": world.simulator.account.sid}
        said = "calls, the error log and messages of account Acme: Twilio refused (HTTP 40"
        assert alert.summary.startswith(said), "once for all three, without the path of each"
        assert alert.summary.count("Twilio refused") == 1
    world.simulator.set_account(status="active")
    world.advance(minutes=16)
    world.tick()
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        assert session.scalars(select(Alert.status)).all() == ["resolved"]


def test_a_backfill_reads_a_span_again_day_by_day(world: World) -> None:
    old = START - timedelta(days=20)
    sids = {world.simulator.add_message(at=old + timedelta(hours=n)) for n in range(0, 200, 7)}
    sids |= {
        world.simulator.add_message(at=old + timedelta(hours=n), date_sent=None, status="failed")
        for n in range(0, 200, 40)
    }
    sids |= {world.simulator.add_call(at=old + timedelta(hours=n)) for n in range(0, 200, 7)}
    sids |= {world.simulator.add_error(at=old + timedelta(hours=n)) for n in range(0, 200, 7)}
    world.poll()
    assert world.logs() == {}
    with session_scope() as session:
        account = session.scalars(select(Account)).one()
        backfills.request(
            session, account.id, old, world.clock.now, world.clock.now, timedelta(days=world.settings.retention_days)
        )
    world.poll()
    logs = world.logs()
    assert set(logs) == sids
    assert {log.source for log in logs.values()} == {"backfill"}
    with session_scope() as session:
        assert all(backfill.finished_at for backfill in session.scalars(select(Backfill)))


def test_backfills_move_from_when_on_logs_are_known_where_nothing_is_missing_between(world: World) -> None:
    world.poll()

    def known_after(since: int, until: int) -> set[datetime]:
        with session_scope() as session:
            account = session.scalars(select(Account)).one()
            span = [world.clock.now - timedelta(days=days) for days in (since, until)]
            kept = timedelta(days=world.settings.retention_days)
            backfills.request(session, account.id, span[0], span[1], world.clock.now, kept)
        world.poll()
        with session_scope() as session:
            account = session.scalars(select(Account)).one()
            shown = account_state.account_json(session, account, world.settings, world.clock.now)
            assert {stream.complete_from for stream in session.scalars(select(Stream))} == {first}, "rules go by it"
        return {datetime.fromisoformat(stream["complete_from"]) for stream in shown["streams"]}

    first, now = START - timedelta(hours=24), world.clock.now
    assert known_after(20, 10) == {first}, "nine days are missing"
    assert known_after(12, 0) == {now - timedelta(days=20)}


@pytest.mark.parametrize("kind", [FaultKind.REFUSED, FaultKind.FOREIGN_LINK, FaultKind.UNAVAILABLE])
def test_a_backfill_that_is_refused_in_its_middle_continues_with_the_next_poll(world: World, kind: FaultKind) -> None:
    old = START - timedelta(days=9)
    sids = {world.simulator.add_message(at=old + timedelta(hours=n)) for n in range(100)}
    world.poll(LogType.MESSAGE)
    with session_scope() as session:
        account = session.scalars(select(Account)).one()
        backfills.request(session, account.id, old, START, START, timedelta(days=90))
    world.simulator.faults.add(kind, path="DateSent", times=5)
    world.poll(LogType.MESSAGE)
    assert world.stream(LogType.MESSAGE).last_error
    for _ in range(6):
        world.poll(LogType.MESSAGE)
    assert set(world.logs()) == sids


def test_a_backfill_leaves_room_in_the_request_budget(world: World) -> None:
    world.configured(twilio_max_requests_per_minute=4)
    world.poll()
    with session_scope() as session:
        account = session.scalars(select(Account)).one()
        backfills.request(session, account.id, START - timedelta(days=9), START, START, timedelta(days=90))
    for _ in range(40):
        world.advance(seconds=30)
        world.tick()
    per_minute: dict[object, int] = {}
    for seen in world.simulator.requests:
        minute = seen.at.replace(second=0, microsecond=0)
        per_minute[minute] = per_minute.get(minute, 0) + 1
    assert max(per_minute.values()) <= 4
    with session_scope() as session:
        assert all(backfill.finished_at for backfill in session.scalars(select(Backfill)))


def test_an_account_that_left_the_environment_is_read_no_more(world: World) -> None:
    world.poll()
    world.configured(twilio_account_sid="AC" + "3" * 32)
    world.poll()
    with session_scope() as session:
        enabled = dict(session.execute(select(Account.sid, Account.enabled)).all())
    assert enabled == {world.simulator.account.sid: False, "AC" + "3" * 32: True}
    with session_scope() as session:
        assert len(session.scalars(select(Stream).where(Stream.log_type == LogType.CALL)).all()) == 2


def test_requests_of_the_last_hour_are_shown(world: World) -> None:
    world.poll()
    world.advance(minutes=30)
    world.poll()
    assert state(world, world.simulator.account.sid)["requests_last_hour"] == world.requests()
    world.advance(minutes=45)
    late = [seen for seen in world.simulator.requests if seen.at > START]
    assert state(world, world.simulator.account.sid)["requests_last_hour"] == len(late)


def test_malformed_records_are_shown_in_the_accounts_state(world: World) -> None:
    world.simulator.add_message(at=START - minutes(2), odd=b'{"sid": 7}')
    world.poll()
    quarantined = state(world, world.simulator.account.sid)["quarantined"]
    assert quarantined["last_day"] == 1  # type: ignore[index]
    assert "sid" in quarantined["latest"][0]["reason"]  # type: ignore[index]


def test_an_account_is_deleted_while_a_poll_stores_its_logs(world: World, session: Session) -> None:
    account = world.simulator.add_account()
    with session_scope() as making:
        values = {"sid": account.sid, "auth_token": account.auth_token}
        account_id = account_admin.create(making, world.settings, values, world.clock.now).id

    def remove() -> None:
        with session_scope() as deleting:
            account_admin.delete(deleting, account_admin.get(deleting, account.sid, lock=True))

    with ThreadPoolExecutor(1) as pool:
        # As a poll does: it holds its stream, and then needs the account for what it stores.
        session.execute(update(Stream).where(Stream.account_id == account_id).values(failures=0))
        removed = pool.submit(remove)
        with session_scope() as watcher:
            waiting = text("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            wait_until(lambda: bool(watcher.scalar(waiting)), "the deletion waits for the poll")
        session.execute(select(Account.id).where(Account.id == account_id).with_for_update(read=True, key_share=True))
        session.commit()
        removed.result(PATIENCE_SECONDS)
    with session_scope() as after, pytest.raises(NotFound):
        account_admin.get(after, account.sid)
