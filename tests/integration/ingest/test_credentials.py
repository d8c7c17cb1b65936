"""Credentials that are wrong, corrected, rotated or lost: what is read with them, when, and what is said meanwhile."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.database import session_scope
from app.enums import LogType
from app.models import Account, Alert, Stream
from app.services import doctor, health, self_monitoring
from app.services.ingest import account_admin, account_state, accounts, streams, subaccounts
from app.services.twilio.client import TwilioReader
from app.services.twilio.read_advice import ENVIRONMENT
from scripts.twilio_simulator.accounts import Account as SimulatedAccount
from scripts.twilio_simulator.http import Request, Response
from tests.integration.ingest.world import World

WRONG = SecretStr("f" * 32)


def polling(world: World) -> health.Check:
    return health.examine(world.settings, world.clock.now).checks["polling"]


def alerts(world: World) -> list[str]:
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, world.settings, world.clock.now)
    with session_scope() as session:
        return list(session.scalars(select(Alert.status)))


def fail_until_polls_are_rare(world: World) -> None:
    for _ in range(4):
        world.tick()
        world.advance(minutes=5)
    world.advance(minutes=1)
    assert world.tick() == 0


@pytest.fixture
def refused(world: World) -> SecretStr:
    """A wrong token in the environment, refused until polls have become rare; the answer is the right one."""
    right = world.settings.twilio_auth_token
    assert right is not None
    world.configured(twilio_auth_token=WRONG)
    fail_until_polls_are_rare(world)
    return right


def test_a_corrected_token_of_the_environment_is_used_at_once(world: World, refused: SecretStr) -> None:
    sid = world.simulator.add_message(at=world.clock.now)
    assert alerts(world) == ["firing"]
    world.configured(twilio_auth_token=refused)
    with session_scope() as session:
        accounts.ensure_environment_account(session, world.settings, world.clock.now)
    assert alerts(world) == ["firing"], "it ends with the next good poll, not with the correction"
    assert world.tick() == 3
    assert sid in world.logs()
    assert polling(world).status == "ok"
    assert alerts(world) == ["resolved"]


def test_a_token_that_stays_wrong_is_not_tried_at_every_tick(world: World, refused: SecretStr) -> None:
    world.configured(twilio_auth_token=SecretStr("e" * 32))
    assert world.tick() == 3
    assert world.tick() == 0


def test_a_restart_tries_at_once_what_failed(world: World, refused: SecretStr) -> None:
    with session_scope() as session:
        streams.retry_failing(session, world.clock.now)
    assert world.tick() == 3


def api_account(world: World, token: str) -> SimulatedAccount:
    account = world.simulator.add_account()
    with session_scope() as session:
        values = {"sid": account.sid, "auth_token": token, "include_subaccounts": True}
        account_admin.create(session, world.settings, values, world.clock.now)
    return account


def test_new_credentials_of_a_parent_end_the_wait_of_its_subaccounts(world: World) -> None:
    account = world.simulator.add_account()
    child = world.simulator.add_account(parent_sid=account.sid)
    with session_scope() as session:
        values = {"sid": account.sid, "auth_token": account.auth_token, "include_subaccounts": True}
        account_admin.create(session, world.settings, values, world.clock.now)
    subaccounts.refresh_due(world.settings, world.clock, world.sleep)
    edit(world, account.sid, auth_token="f" * 32)
    fail_until_polls_are_rare_for(world, child.sid)
    edit(world, account.sid, auth_token=account.auth_token)
    sid = world.simulator.add_message(at=world.clock.now, account_sid=child.sid)
    world.tick(LogType.MESSAGE)
    assert sid in world.logs()


def fail_until_polls_are_rare_for(world: World, sid: str) -> None:
    for _ in range(4):
        world.tick(LogType.MESSAGE)
        world.advance(minutes=5)
    with session_scope() as session:
        shown = account_state.account_json(session, account_admin.get(session, sid), world.settings, world.clock.now)
    (state,) = (stream for stream in shown["streams"] if stream["log_type"] == "message")
    assert state["failures"] == 3


def edit(world: World, sid: str, **values: str) -> None:
    with session_scope() as session:
        account_admin.edit(session, world.settings, account_admin.get(session, sid, lock=True), values, world.clock.now)


def read_and_edit_in_flight(
    world: World, sid: str, monkeypatch: pytest.MonkeyPatch, read: Callable[[], object], **values: str
) -> None:
    """Read, and change credentials after Twilio has judged the old ones, before its answer arrives."""
    answer = world.simulator.handle

    def answer_late(request: Request) -> Response:
        response = answer(request)
        if sid in request.path and values:
            edit(world, sid, **values)
            values.clear()
        return response

    with monkeypatch.context() as patch:
        patch.setattr(world.simulator, "handle", answer_late)
        read()
    assert not values, "no request was in flight"


def tick_and_edit_in_flight(world: World, sid: str, monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    read_and_edit_in_flight(world, sid, monkeypatch, lambda: world.tick(LogType.MESSAGE), **values)


def stream_of(sid: str) -> Stream:
    query = select(Stream).join(Account, Account.id == Stream.account_id)
    with session_scope() as session:
        return session.scalars(query.where(Account.sid == sid, Stream.log_type == LogType.MESSAGE)).one()


def test_a_refusal_in_flight_does_not_delay_the_corrected_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account = api_account(world, "f" * 32)
    fail_until_polls_are_rare_for(world, account.sid)
    sid = world.simulator.add_message(at=world.clock.now, account_sid=account.sid)
    world.advance(minutes=15)
    tick_and_edit_in_flight(world, account.sid, monkeypatch, auth_token=account.auth_token)
    stream = stream_of(account.sid)
    assert (stream.failures, stream.last_error, stream.due_at) == (0, None, world.clock.now)
    world.tick(LogType.MESSAGE)
    assert sid in world.logs()


def test_a_refused_check_in_flight_says_nothing_of_new_credentials(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = api_account(world, "f" * 32)
    world.advance(minutes=1)

    def check() -> None:
        subaccounts.refresh_due(world.settings, world.clock, world.sleep)

    read_and_edit_in_flight(world, account.sid, monkeypatch, check, auth_token=account.auth_token)
    with session_scope() as session:
        assert account_admin.get(session, account.sid).last_error is None


def test_an_answer_in_flight_does_not_prove_new_credentials(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account = api_account(world, world.simulator.account.auth_token)
    edit(world, account.sid, auth_token=account.auth_token)
    world.tick()
    read_at = stream_of(account.sid).last_success_at
    world.advance(minutes=5)
    tick_and_edit_in_flight(world, account.sid, monkeypatch, auth_token="f" * 32)
    assert stream_of(account.sid).last_success_at == read_at
    assert f"{account.sid} (call, error, message): not read yet" in polling(world).detail
    assert world.tick(LogType.MESSAGE) == 1
    assert "HTTP 401" in str(stream_of(account.sid).last_error)


def test_the_next_token_reads_where_the_first_is_refused(world: World) -> None:
    account = api_account(world, "f" * 32)
    edit(world, account.sid, next_auth_token=account.auth_token)
    sid = world.simulator.add_message(at=world.clock.now, account_sid=account.sid)
    world.tick()
    assert sid in world.logs()


def test_the_next_token_is_left_alone_while_the_first_is_taken(world: World) -> None:
    account = api_account(world, world.simulator.account.auth_token)
    edit(world, account.sid, auth_token=account.auth_token, next_auth_token="f" * 32)
    world.tick()
    assert 401 not in {seen.status for seen in world.simulator.requests}


def test_if_twilio_refuses_both_tokens_the_account_is_refused(world: World) -> None:
    account = api_account(world, "f" * 32)
    edit(world, account.sid, next_auth_token="e" * 32)
    world.tick(LogType.MESSAGE)
    asked = [seen for seen in world.simulator.requests if account.sid in seen.target]
    assert [seen.status for seen in asked] == [401, 401]
    with session_scope() as session:
        shown = account_state.account_json(
            session, account_admin.get(session, account.sid), world.settings, world.clock.now
        )
    assert "HTTP 401" in shown["streams"][1]["last_error"]


def test_a_reader_asks_with_the_next_token_from_then_on(world: World) -> None:
    account = world.simulator.account
    counted: list[int] = []
    with TwilioReader(
        account.sid,
        account.sid,
        "f" * 32,
        world.server.url,
        world.server.url,
        next_password=account.auth_token,
        before_request=lambda: counted.append(1),
    ) as reader:
        assert reader.account() is not None
        assert reader.account() is not None
        assert reader.uses_next_password
    assert [seen.status for seen in world.simulator.requests] == [401, 200, 200]
    assert len(counted) == 3, "each of them costs the budget"


def test_undecryptable_credentials_are_retried_with_every_poll(world: World) -> None:
    account = api_account(world, world.simulator.account.auth_token)
    world.configured(secret_key=SecretStr("another secret that opens nothing"))
    for _ in range(5):
        world.tick()
        world.advance(minutes=5)
    with session_scope() as session:
        shown = account_state.account_json(
            session, account_admin.get(session, account.sid), world.settings, world.clock.now
        )
        (due,) = session.scalars(select(Stream.due_at).where(Stream.failures == 5).limit(1))
    assert "cannot be decrypted" in shown["streams"][0]["last_error"]
    assert due <= world.clock.now


def test_nothing_is_well_before_it_was_read_once(world: World) -> None:
    assert polling(world).status == "degraded"
    assert "no account is watched" in polling(world).detail
    world.configured(twilio_auth_token=WRONG)
    world.tick()
    check = polling(world)
    assert check.status == "degraded"
    assert "3 streams are not read" in check.detail
    assert check.detail.count("Twilio refused") == 1
    assert "(call, error, message): not read yet: Twilio refused (HTTP 401" in check.detail, "without a path"
    assert len(check.unread) == 1
    assert check.next_step == ENVIRONMENT
    assert "HTTP 401" in check.detail


def test_new_credentials_are_not_well_before_they_were_read_with(world: World) -> None:
    world.poll()
    assert polling(world) == health.Check("ok", "every stream is read")
    right = world.settings.twilio_auth_token
    world.advance(minutes=1)
    world.configured(twilio_auth_token=WRONG)
    assert world.tick(LogType.CALL) == 1
    assert "(call, error, message): not read yet: Twilio refused" in polling(world).detail
    world.configured(twilio_auth_token=right)
    world.tick()
    assert polling(world).status == "ok"


def test_no_heartbeat_is_sent_before_all_was_read_once(world: World, environment: pytest.MonkeyPatch) -> None:
    world.configured(heartbeat_url=SecretStr(f"{world.server.url}/beat"))
    world.tick(LogType.CALL)
    assert not health.send_heartbeat(world.settings, world.clock.now)
    assert not any("/beat" in seen.target for seen in world.simulator.requests)


def findings(world: World) -> list[str]:
    return [
        f"{found.result} {found.subject}: {found.detail}" for found in doctor._accounts(world.settings, world.clock)
    ]


def test_the_doctor_tells_that_workers_have_other_credentials_and_leaves_them_alone(
    world: World, refused: SecretStr
) -> None:
    said = findings(world)
    assert any(line.startswith("wrong calls of") and "HTTP 401" in line for line in said)
    world.configured(twilio_auth_token=refused)
    assert any("restart them" in line and "HTTP 401" in line for line in findings(world))
    assert world.stream(LogType.CALL).last_error


def test_the_doctor_tells_that_the_next_token_is_the_one_that_works(world: World) -> None:
    account = api_account(world, "f" * 32)
    edit(world, account.sid, next_auth_token=account.auth_token)
    assert any("next_auth_token is accepted" in line for line in findings(world))
