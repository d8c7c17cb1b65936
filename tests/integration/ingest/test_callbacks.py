"""Callbacks from a simulated Twilio to the real API over HTTP: verified, applied, and never over what is newer."""

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from app import wake
from app.config import get_settings
from app.database import session_scope
from app.enums import LogType
from app.models import PushedRecord, Stream
from app.services.ingest import account_admin, account_state, budget, callbacks
from app.services.twilio.signature import sign as signed
from app.utils.clock import utc_now
from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from scripts.twilio_simulator.faults import FaultKind
from scripts.twilio_simulator.signatures import sign, with_body_hash
from tests.conftest import forget
from tests.integration.ingest.world import World, minutes
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

PLAIN: Any = {"timeout": PATIENCE_SECONDS, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""For requests. None speaks TLS, and httpx would read all authorities for each, which takes longer than the request."""


@pytest.fixture
def api(world: World, environment: pytest.MonkeyPatch) -> Iterator[str]:
    """The API, listening; the answer is its public address."""
    from app.api.main import create_app  # it reads the settings, which the fixtures before have set

    woken: list[str] = []
    environment.setattr(wake, "callbacks", lambda: woken.append("callbacks"))
    server = uvicorn.Server(uvicorn.Config("nothing", port=0, log_level="warning"))
    sock = server.config.bind_socket()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    environment.setenv("PUBLIC_BASE_URL", url)
    forget()
    world.settings = get_settings()
    server.config.loaded = False
    server.config.app = create_app(world.settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the API listens")
    world.clock.now = utc_now().replace(microsecond=0)
    world.simulator.clock.set(world.clock.now)
    yield url
    server.should_exit = True
    thread.join()
    sock.close()


def targets(api: str) -> Targets:
    return Targets(
        status=f"{api}/webhooks/twilio/status",
        error=f"{api}/webhooks/twilio/error",
        events=f"{api}/webhooks/twilio/events",
    )


def read_pushed(world: World) -> int:
    return callbacks.read_pending(world.settings, world.clock, world.sleep)


def test_a_status_callback_changes_a_known_log_at_once(world: World, api: str) -> None:
    sid = world.simulator.add_message(at=world.clock.now - minutes(1), status="sent")
    world.poll(LogType.MESSAGE)
    with Callbacks(world.simulator, Targets(status=targets(api).status), repeat=3) as pushed:
        world.simulator.change(sid, status="undelivered", error_code=30003)
        pushed.flush()
        assert {sent.status for sent in pushed.sent} == {204}
    log = world.log(sid)
    assert (log.status, log.error_code, log.final, log.source) == ("undelivered", 30003, True, "poll")
    assert [change.source for change in world.changes(sid)] == ["poll", "callback"]
    world.advance(minutes=1)
    world.poll(LogType.MESSAGE)
    assert world.log(sid).status == "undelivered"
    assert world.log(sid).changed_at <= log.changed_at


def test_a_callback_about_an_unknown_log_reads_it_by_its_sid(world: World, api: str) -> None:
    world.poll()
    with Callbacks(world.simulator, Targets(status=targets(api).status)) as pushed:
        sid = world.simulator.add_message(status="queued", visible_after=3600)
        world.simulator.change(sid, status="failed", error_code=30001)
        pushed.flush()
    assert sid not in world.logs()
    assert read_pushed(world) == 1
    assert world.log(sid).error_code == 30001
    assert world.log(sid).source == "callback"
    assert read_pushed(world) == 0


def test_a_callback_that_came_first_is_applied_when_a_poll_reads_the_log(world: World, api: str) -> None:
    world.poll()
    sid = world.simulator.add_message(status="sent")
    form = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": world.simulator.account.sid}
    answer = post(world, f"{api}/webhooks/twilio/status", form)
    assert answer.status_code == 204
    world.poll(LogType.MESSAGE)
    assert [change.status for change in world.changes(sid)] == ["sent", "delivered"]
    world.advance(minutes=1)
    world.poll(LogType.MESSAGE)
    assert world.log(sid).status == "delivered"


def test_many_unknown_logs_are_read_by_the_page_and_not_one_by_one(world: World, api: str) -> None:
    world.configured(twilio_max_requests_per_minute=20)
    world.poll()
    sids = [world.simulator.add_message(status="sent") for _ in range(150)]
    late = world.simulator.add_message(status="sent", visible_after=600)
    kind = "com.twilio.messaging.message.delivered"
    told = [{"messageSid": sid, "accountSid": world.simulator.account.sid} for sid in [*sids, late]]
    body = json.dumps([{"type": kind, "data": data} for data in told]).encode()
    url = with_body_hash(f"{api}/webhooks/twilio/events", body)
    headers = {"X-Twilio-Signature": sign(world.simulator.account.auth_token, url), "Content-Type": "application/json"}
    assert httpx.post(url, content=body, headers=headers, **PLAIN).status_code == 204
    before = world.requests()
    assert read_pushed(world) == 151
    assert world.requests() - before == 2
    assert {log.status for log in world.logs().values()} == {"delivered"}


def test_reading_what_was_pushed_leaves_room_for_the_polls(world: World, api: str) -> None:
    world.configured(twilio_max_requests_per_minute=10)
    world.poll(LogType.MESSAGE)
    for _ in range(9):
        sid = world.simulator.add_message(status="sent")
        form = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": world.simulator.account.sid}
        post(world, f"{api}/webhooks/twilio/status", form)
    assert read_pushed(world) == 4
    world.advance(seconds=budget.WINDOW.total_seconds())
    assert read_pushed(world) == 5


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.HTML, FaultKind.REFUSED, FaultKind.RESET])
def test_a_twilio_that_fails_keeps_no_push_of_a_known_log_from_being_applied(
    world: World, api: str, kind: FaultKind
) -> None:
    known = world.simulator.add_message(status="sent", at=world.clock.now - minutes(1))
    world.poll(LogType.MESSAGE)
    unknown = world.simulator.add_message(status="sent")
    world.simulator.faults.add(kind, times=50)
    with session_scope() as session:  # As if a poll were storing a page.
        session.execute(select(Stream.id).with_for_update())
        for sid in (unknown, known):
            form = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": world.simulator.account.sid}
            assert post(world, f"{api}/webhooks/twilio/status", form).status_code == 204
    assert world.log(known).status == "sent"
    assert read_pushed(world) == 0
    assert world.log(known).status == "delivered"
    world.simulator.faults.clear()
    assert read_pushed(world) == 1


def test_a_callback_may_be_signed_with_a_key_of_the_customers_own(world: World, api: str) -> None:
    world.poll()
    sid, url = "SM" + "1" * 32, f"{api}/webhooks/twilio/status"
    form = {"MessageSid": sid, "MessageStatus": "failed", "AccountSid": world.simulator.account.sid}
    with session_scope() as session:
        account = account_admin.get(session, world.simulator.account.sid, lock=True)
        keys = {"signing_keys": {"KY1": "first of mine", "KY2": "second of mine"}}
        account_admin.edit(session, world.settings, account, keys, world.clock.now)
        shown = account_state.account_json(session, account, world.settings, world.clock.now)
    assert shown["signing_key_ids"] == ["KY1", "KY2"]
    assert "of mine" not in str(shown)

    def asked(key: str, header: str, algorithm: str = "HMAC_SHA256") -> int:
        signature = signed(key, url, list(form.items()), algorithm)
        headers = {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": header}
        return httpx.post(url, data=form, headers=headers, **PLAIN).status_code

    assert asked("first of mine", "key=KY1,algorithm=HMAC_SHA256") == 204
    assert asked("second of mine", "key=KY2,algorithm=HMAC_SHA1", "HMAC_SHA1") == 204
    assert asked("first of mine", "key=KY2,algorithm=HMAC_SHA256") == 403
    assert asked("first of mine", "key=KY3,algorithm=HMAC_SHA256") == 403
    assert asked("first of mine", "key=KY1,algorithm=MD5") == 403
    assert asked(world.simulator.account.auth_token, "key=KY1,algorithm=HMAC_SHA1", "HMAC_SHA1") == 403


def test_an_account_that_names_itself_a_parent_signs_for_no_other(world: World, api: str) -> None:
    world.poll()
    parent, other = world.simulator.account, world.simulator.add_account()
    child = world.simulator.add_account(parent_sid=parent.sid)
    with session_scope() as session:
        for account in (other, child):
            account_admin.create(session, world.settings, {"sid": account.sid, "auth_token": "x"}, world.clock.now)
        account_admin.get(session, child.sid).parent_sid = parent.sid
    url = f"{api}/webhooks/twilio/error"
    form = {"Sid": "NO" + "1" * 32, "Level": "ERROR", "PayloadType": "application/json", "Payload": "{}"}
    form |= {"Timestamp": "2026-11-20T06:00:00Z", "ParentAccountSid": parent.sid}
    assert post(world, url, form | {"AccountSid": other.sid}).status_code == 403
    assert post(world, url, form | {"AccountSid": child.sid}).status_code == 204


def test_a_slow_page_does_not_undo_a_callback(world: World, api: str) -> None:
    sid = world.simulator.add_message(
        status="queued", at=world.clock.now - minutes(2), date_updated=world.clock.now - minutes(2)
    )
    world.poll(LogType.MESSAGE)
    form = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": world.simulator.account.sid}
    post(world, f"{api}/webhooks/twilio/status", form)
    world.simulator.change(
        sid, at=world.clock.now - minutes(1), status="sent", date_updated=world.clock.now - minutes(1)
    )
    world.poll(LogType.MESSAGE)
    assert world.log(sid).status == "delivered"


def test_a_pushed_error_makes_its_log_and_gives_its_call_the_code(world: World, api: str) -> None:
    call = world.simulator.add_call(status="failed")
    world.poll(LogType.CALL)
    with Callbacks(world.simulator, Targets(error=targets(api).error), repeat=2) as pushed:
        sid = world.simulator.add_error(resource_sid=call, error_code="11200", visible_after=600)
        pushed.flush()
    assert world.log(sid).source == "callback"
    assert world.log(call).error_code == 11200
    versions = len(world.changes(call))
    world.advance(minutes=11)
    world.poll()
    assert len(world.changes(call)) == versions
    assert world.log(sid).pushed_at is None
    assert world.log(sid).occurred_at == world.simulator.record(sid).created_at


@pytest.mark.parametrize("batch", [True, False])
def test_event_streams_tell_of_all_three(world: World, api: str, batch: bool) -> None:
    message = world.simulator.add_message(status="sent", at=world.clock.now - minutes(1))
    call = world.simulator.add_call(status="ringing", at=world.clock.now - minutes(1), end_time=None)
    world.poll()
    with Callbacks(world.simulator, Targets(events=targets(api).events), repeat=2, batch_events=batch) as pushed:
        world.simulator.change(message, status="undelivered", error_code=30005)
        world.simulator.change(call, status="busy", end_time=world.clock.now)
        error = world.simulator.add_error(resource_sid=call, error_code="13224")
        pushed.flush()
        assert {sent.status for sent in pushed.sent} == {204}
    logs = world.logs()
    assert (logs[message].status, logs[message].error_code) == ("undelivered", 30005)
    assert (logs[call].status, logs[call].error_code) == ("busy", 13224)
    assert logs[error].level == "error"


def test_an_unsigned_callback_is_rejected_and_not_stored(world: World, api: str) -> None:
    form = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "failed", "AccountSid": world.simulator.account.sid}
    world.poll()
    url = f"{api}/webhooks/twilio/status"
    assert httpx.post(url, data=form, **PLAIN).status_code == 403
    assert httpx.post(url, data=form, headers={"X-Twilio-Signature": "x"}, **PLAIN).status_code == 403
    other = {**form, "AccountSid": "AC" + "9" * 32}
    assert post(world, url, other).status_code == 403
    with session_scope() as session:
        assert session.query(PushedRecord).count() == 0


@pytest.mark.parametrize(
    ("query", "headers", "account"),
    [
        ("?bodySHA256=%C3%A9", {}, None),
        ("?bodySHA256=%ED%A0%80", {}, None),
        ("?bodySHA256=%00&bodySHA256=%FF", {}, None),
        ("?bodySHA256", {}, None),
        ("", {b"X-Twilio-Signature": "Gr\u00fc\u00dfe".encode()}, None),
        ("", {b"X-Twilio-Signature": b"x", b"X-Twilio-Webhooks-Signature-Settings": "key=\u00e9".encode()}, None),
        ("", {}, "\u00e9"),
        ("", {}, "AC\0"),
    ],
)
@pytest.mark.parametrize("path", ["status", "error", "events"])
def test_untrusted_text_where_a_signature_is_checked_is_refused_like_a_wrong_one(
    world: World, api: str, path: str, query: str, headers: dict[bytes, bytes], account: str | None
) -> None:
    world.poll()
    answer = httpx.post(
        f"{api}/webhooks/twilio/{path}{query}",
        data={"AccountSid": account or world.simulator.account.sid},
        headers={b"X-Twilio-Signature": b"x"} | headers,
        **PLAIN,
    )
    assert answer.status_code == 403


def test_a_get_is_a_callback_too(world: World, api: str) -> None:
    world.poll()
    sid = world.simulator.add_call(status="ringing", end_time=None)
    world.poll(LogType.CALL)
    query = f"CallSid={sid}&CallStatus=completed&AccountSid={world.simulator.account.sid}&CallDuration=12"
    url = f"{api}/webhooks/twilio/status?{query}"
    signature = sign(world.simulator.account.auth_token, url)
    assert httpx.get(url, headers={"X-Twilio-Signature": signature}, **PLAIN).status_code == 204
    assert (world.log(sid).status, world.log(sid).duration_seconds) == ("completed", 12)


def test_a_sip_call_is_taken_though_twilio_signs_its_query_unescaped(world: World, api: str) -> None:
    sid = world.simulator.add_call(status="ringing", end_time=None)
    world.poll(LogType.CALL)
    start = f"{api}/webhooks/twilio/status?CallSid={sid}&CallStatus=completed&AccountSid={world.simulator.account.sid}"
    signature = sign(world.simulator.account.auth_token, f"{start}&From=sip:o'neil@example.com")
    answer = httpx.get(
        f"{start}&From=sip%3Ao%27neil%40example.com",
        headers={"X-Twilio-Signature": signature},
        **PLAIN,
    )
    assert answer.status_code == 204
    assert world.log(sid).status == "completed"


@pytest.mark.parametrize("path", ["status/", "error/", "events/"])
def test_a_callback_with_a_slash_at_its_end_is_taken_or_refused_like_one_without(
    world: World, api: str, path: str
) -> None:
    world.poll()
    url = f"{api}/webhooks/twilio/{path}"
    assert httpx.post(url, data={"AccountSid": world.simulator.account.sid}, **PLAIN).status_code == 403
    assert post(world, url, {"AccountSid": world.simulator.account.sid}).status_code == 400


@pytest.mark.parametrize(
    "origin", ["https://Monitor.Example.COM", "https://monitor.example.com", "https://monitor.example.com:443"]
)
async def test_a_public_address_may_be_typed_with_capitals(
    world: World, environment: pytest.MonkeyPatch, origin: str
) -> None:
    from app.api.main import create_app

    environment.setenv("PUBLIC_BASE_URL", "https://Monitor.Example.COM/")
    forget()
    world.poll()
    form = {"AccountSid": world.simulator.account.sid}
    signature = sign(world.simulator.account.auth_token, f"{origin}/webhooks/twilio/status", form.items())
    transport = httpx.ASGITransport(app=create_app(get_settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/webhooks/twilio/status", data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 400  # genuine, but about nothing


def test_events_of_accounts_that_are_not_watched_are_dropped(world: World, api: str) -> None:
    world.poll()
    stranger = world.simulator.add_account()
    with Callbacks(world.simulator, Targets(events=targets(api).events)) as pushed:
        world.simulator.add_error(account_sid=stranger.sid)
        pushed.flush()
    assert world.logs() == {}


def test_the_body_of_a_message_is_not_kept_with_what_was_pushed(world: World, api: str) -> None:
    world.poll()
    with Callbacks(world.simulator, Targets(events=targets(api).events)) as pushed:
        world.simulator.add_message(status="sent", body="secret words")
        pushed.flush()
    with session_scope() as session:
        assert "secret" not in str([record.fields for record in session.query(PushedRecord)])


def post(world: World, url: str, form: dict[str, str]) -> httpx.Response:
    signature = sign(world.simulator.account.auth_token, url, form.items())
    return httpx.post(url, data=form, headers={"X-Twilio-Signature": signature}, **PLAIN)


def test_pushes_are_forgotten_when_nothing_needs_them(world: World, api: str) -> None:
    world.poll()
    sid = world.simulator.add_message(status="sent")
    world.poll(LogType.MESSAGE)
    form = {"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": world.simulator.account.sid}
    post(world, f"{api}/webhooks/twilio/status", form)
    with session_scope() as session:
        callbacks.delete_expired(session, utc_now() + timedelta(hours=25))
    with session_scope() as session:
        assert session.query(PushedRecord).count() == 0


@pytest.mark.parametrize("timestamp", ["2041-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon", ""])
def test_a_pushed_error_whose_time_cannot_be_is_of_the_time_of_its_arrival(
    world: World, api: str, timestamp: str
) -> None:
    world.poll()
    sid = "NO" + "7" * 32
    form = {"Sid": sid, "AccountSid": world.simulator.account.sid, "Timestamp": timestamp}
    assert post(world, f"{api}/webhooks/twilio/error", form).status_code == 204
    assert abs(world.log(sid).occurred_at - world.clock.now) < timedelta(minutes=10)
    assert world.quarantine() == []
