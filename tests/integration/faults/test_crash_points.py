"""A process that is killed at any boundary of any stage loses nothing, and doubles only what it left in doubt."""

import json
import os
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text, update

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Log, LogChange, Stream
from app.services import rule_admin
from app.utils.clock import utc_now
from scripts.local.postgres import Postgres
from scripts.twilio_simulator import add_messages
from tests.conftest import forget
from tests.integration.faults.conftest import CrashRig
from tests.kits.stages import KILLED, Stages

POLL = ("claimed", "page", "before_commit", "after_commit", "finished")
EVALUATE = ("between", "before_commit", "after_commit")
DELIVER = ("claimed", "sent", "recording", "recorded")


@pytest.mark.usefixtures("two_pages")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", POLL)
def test_a_killed_poll_is_repeated(rig: CrashRig, point: str, number: int) -> None:
    assert rig.stages.run("poll", f"poll.{point}:{number}") == KILLED
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end()


@pytest.mark.usefixtures("two_pages")
def test_a_poll_that_is_killed_between_two_pages_keeps_the_first_and_reads_the_rest(rig: CrashRig) -> None:
    """The third page that comes is the second of the messages: the calls have one."""
    assert rig.stages.run("poll", "poll.page:3") == KILLED
    stored, messages = set(rig.stored()), rig.emitted("message")
    assert rig.emitted("call") <= stored
    assert len(messages & stored) == len(messages) - 1
    assert _messages_complete_until() is None
    rig.check_always()
    rig.simulator.requests.clear()
    rig.go_on()
    first = next(seen.target for seen in rig.simulator.requests if "Messages.json" in seen.target)
    assert "PageToken" in first, "it goes on where it stopped"
    rig.check_in_the_end()


def _messages_complete_until() -> datetime | None:
    with session_scope() as session:
        return session.scalar(select(Stream.complete_until).where(Stream.log_type == "message"))


@pytest.mark.parametrize(
    ("point", "number"),
    [("between", 1), ("before_commit", 1), ("before_commit", 2), ("after_commit", 1), ("after_commit", 2)],
)
def test_a_killed_evaluation_is_repeated(rig: CrashRig, point: str, number: int) -> None:
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate", f"evaluate.{point}:{number}") == KILLED
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", DELIVER)
def test_a_delivery_that_is_killed_is_sent_once_or_again_under_its_one_id(
    rig: CrashRig, point: str, number: int
) -> None:
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate") == 0
    assert rig.stages.run("deliver", f"deliver.{point}:{number}") == KILLED
    rig.check_always()
    sent = rig.received().total()
    recorded = {str(each.id) for each in rig.deliveries() if each.status == "succeeded"}
    assert rig.stages.run("deliver") == 0
    assert max(rig.received().values(), default=1) == 1, "what is leased is left alone until the lease ends"
    in_doubt = sum(attempt.outcome == "started" for attempt in rig.attempts())
    assert in_doubt or point == "recorded"
    rig.go_on()
    rig.check_in_the_end(in_doubt)
    assert sum(attempt.outcome == "unknown" for attempt in rig.attempts()) == in_doubt
    assert all(rig.received()[each] == 1 for each in recorded)
    assert recorded or point != "recorded"
    if point == "claimed" and number == 1:
        assert sent == 0
        assert max(rig.received().values()) == 1
    if point in ("sent", "recording") and number == 1:
        assert rig.received().total() == len(rig.deliveries()) + sent


def _sent_message(rig: CrashRig) -> str:
    """Let there be a message, read and not final, so far down the list that its head does not show it."""
    add_messages(rig.simulator, 1000, newest_at=utc_now() - timedelta(hours=2), failing=0)
    sid = rig.simulator.add_message(status="sent", at=utc_now() - timedelta(hours=50))
    assert rig.stages.run("poll", INITIAL_BACKFILL_HOURS="60") == 0
    return sid


def _statuses(sid: str) -> list[str]:
    """Look which states of a log are stored, the newest last."""
    with session_scope() as session:
        query = select(LogChange.status).join(Log, LogChange.log_id == Log.id).where(Log.sid == sid)
        return list(session.scalars(query.order_by(LogChange.id)))


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_killed_reread_is_repeated(rig: CrashRig, point: str) -> None:
    sid = _sent_message(rig)
    assert rig.stages.run("poll") == 0  # the first sweep of the list
    rig.simulator.change(sid, status="undelivered", error_code=30003)
    with session_scope() as session:
        session.execute(update(Log).where(Log.sid == sid).values(reread_at=utc_now()))
    assert rig.stages.run("poll", f"reread.{point}") == KILLED
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end()
    assert _statuses(sid) == ["sent", "undelivered"]


@pytest.mark.parametrize("point", ["before_commit", "kept", "applied"])
def test_a_callback_whose_handling_is_killed_is_applied_once_by_the_next_worker(rig: CrashRig, point: str) -> None:
    sid = _sent_message(rig)
    form = {"AccountSid": rig.simulator.account.sid, "MessageSid": sid, "MessageStatus": "delivered"}
    assert rig.stages.run("push", f"callback.{point}", PUSHED=json.dumps(form)) == KILLED
    assert rig.stages.run("read_pushed") == 0
    assert _statuses(sid) == (["sent"] if point == "before_commit" else ["sent", "delivered"])
    assert rig.stages.run("push", PUSHED=json.dumps(form)) == 0
    assert _statuses(sid) == ["sent", "delivered"]
    rig.simulator.change(sid, status="delivered")
    rig.go_on()
    rig.check_in_the_end()


@pytest.mark.parametrize("point", ["minute_before_commit:1", "minute_before_commit:4", "minute_after_commit:4"])
def test_a_minute_whose_judging_is_killed_is_judged_once(rig: CrashRig, point: str) -> None:
    silence = {"type": "no_data", "window_minutes": 5}
    rule = {"name": "Silence", "log_type": "call", "pattern_type": "status", "pattern_value": "busy"}
    with session_scope() as session:
        made = rule_admin.create(session, rule | {"condition": silence}, get_settings(), utc_now())
        made.started_at = utc_now() - timedelta(minutes=30)
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate", f"evaluate.{point}") == KILLED
    rig.check_always()
    rig.go_on()
    rig.check_always()
    with session_scope() as session:
        [alert] = session.scalars(select(Alert).where(Alert.rule_name == "Silence"))
        form = [each for each in rig.deliveries() if each.alert_id == alert.id]
    assert [each.status for each in form] == ["succeeded", "succeeded"]
    assert max(rig.received().values()) == 1


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_killed_cleanup_is_repeated(rig: CrashRig, point: str) -> None:
    assert rig.stages.run("clean", f"retention.{point}") == KILLED
    rig.go_on()
    assert rig.stages.run("clean") == 0
    rig.check_in_the_end()


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_killed_migration_is_repeated(postgres: Postgres, environment: pytest.MonkeyPatch, point: str) -> None:
    postgres.create_database("killed")
    environment.setenv("DATABASE_URL", postgres.url("killed"))
    forget()
    try:
        stages = Stages(os.environ)
        assert stages.run("migrate", f"migrate.{point}") == KILLED
        assert stages.run("migrate") == 0
        with session_scope() as session:
            assert session.scalar(text("SELECT count(*) FROM alembic_version")) == 1
            assert session.scalar(text("SELECT count(*) FROM rule_sets")) == 1
    finally:
        forget()
        postgres.drop_database("killed")
