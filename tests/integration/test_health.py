"""What GiftPulse says of itself."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import text, update

from app.config import get_settings
from app.database import session_scope
from app.models import Account, Heartbeat, Stream
from app.services import health
from app.services.ingest import streams
from app.services.outbox import actions
from app.services.outbox.cancellation import disable
from tests.conftest import forget
from tests.fakes import FrozenClock


@pytest.fixture
def watched(database: str, broker: str, clock: FrozenClock) -> None:
    """An account whose streams were all read just now, with worker and beat alive."""
    with session_scope() as session:
        account = Account(sid="AC" + "0" * 32, from_environment=True, started_at=clock.now - timedelta(days=1))
        session.add(account)
        session.flush()
        streams.create_for(session, account, clock.now)
        session.execute(update(Stream).values(last_success_at=clock.now))
        session.add_all([Heartbeat(name=name, seen_at=clock.now) for name in ("worker", "beat")])


def test_all_is_ok_where_everything_works(watched: None, clock: FrozenClock) -> None:
    found = health.examine(get_settings(), clock.now)
    assert found.status == "ok"
    assert list(found.checks) == ["database", "broker", "polling", "workers", "deliveries"]


def test_a_dead_database_is_down_and_the_rest_unknown(environment: pytest.MonkeyPatch, clock: FrozenClock) -> None:
    found = health.examine(get_settings(), clock.now)
    assert found.status == "down"
    assert found.checks["polling"].status == "degraded"


def test_a_dead_broker_degrades_only(watched: None, environment: pytest.MonkeyPatch, clock: FrozenClock) -> None:
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    forget()
    found = health.examine(get_settings(), clock.now)
    assert (found.status, found.checks["broker"].status) == ("degraded", "degraded")


def test_a_stream_without_a_good_poll_for_three_intervals_is_reported(watched: None, clock: FrozenClock) -> None:
    later = clock.advance(seconds=3 * get_settings().poll_interval_seconds + 1)
    check = health.examine(get_settings(), later).checks["polling"]
    assert check.status == "degraded"
    assert "3 streams are not read" in check.detail


def test_a_stream_that_can_never_be_read_is_not_counted(watched: None, clock: FrozenClock) -> None:
    with session_scope() as session:
        session.execute(update(Stream).values(unavailable=True, failures=9))
    assert health.examine(get_settings(), clock.now).checks["polling"].status == "ok"


def test_a_silent_worker_is_reported(watched: None, clock: FrozenClock) -> None:
    assert health.examine(get_settings(), clock.advance(seconds=61)).checks["workers"].status == "degraded"


def enqueue_delivery(at: datetime) -> None:
    """Owe a delivery that was due at some time."""
    with session_scope() as session:
        session.execute(
            text(
                "INSERT INTO deliveries (id, action_id, action_type, type, recipient, status, content, created_at,"
                " next_attempt_at) VALUES (gen_random_uuid(), gen_random_uuid(), 'email', 'alert.firing', 'x',"
                " 'pending', '{}', :at, :at)"
            ),
            {"at": at},
        )


def test_an_overdue_delivery_is_reported(watched: None, clock: FrozenClock) -> None:
    enqueue_delivery(clock.now - timedelta(minutes=11))
    check = health.examine(get_settings(), clock.now).checks["deliveries"]
    assert (check.status, check.detail) == ("degraded", "1 delivery is overdue by ten minutes")


class _Watcher(BaseHTTPRequestHandler):
    paths: list[str]

    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def watcher(environment: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A dead man's switch: the paths it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Watcher) as server:
        paths: list[str] = []
        server.paths = paths  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        environment.setenv("HEARTBEAT_URL", f"http://127.0.0.1:{server.server_port}/ping/1")
        forget()
        yield paths
        server.shutdown()
        thread.join()


def test_the_heartbeat_is_sent_while_all_is_read(watcher: list[str], watched: None, clock: FrozenClock) -> None:
    assert health.send_heartbeat(get_settings(), clock.now)
    assert watcher == ["/ping/1"]


def test_no_heartbeat_is_sent_while_a_stream_stands_still(
    watcher: list[str], watched: None, clock: FrozenClock
) -> None:
    assert not health.send_heartbeat(get_settings(), clock.advance(hours=1))
    assert watcher == []


def test_no_heartbeat_is_sent_while_a_delivery_is_overdue(
    watcher: list[str], watched: None, clock: FrozenClock
) -> None:
    enqueue_delivery(clock.now - timedelta(minutes=11))
    assert not health.send_heartbeat(get_settings(), clock.now)
    assert watcher == []


def test_a_disabled_action_is_reported_and_stops_no_heartbeat(
    watcher: list[str], watched: None, clock: FrozenClock
) -> None:
    with session_scope() as session:
        body = {"action_type": "webhook", "config": {"url": "https://hooks.example.com/"}}
        action, _ = actions.create(session, body, get_settings(), clock.now)
        disable(session, action, "it is gone", clock.now)
    assert health.send_heartbeat(get_settings(), clock.now)
    assert health.examine(get_settings(), clock.now).checks["deliveries"].detail == "an action was disabled: it is gone"


def test_two_schedulers_send_one_heartbeat_a_minute(watcher: list[str], watched: None, clock: FrozenClock) -> None:
    sent = [health.send_heartbeat(get_settings(), clock.advance(seconds=30)) for _ in range(4)]
    assert sent == [True, False, True, False]
