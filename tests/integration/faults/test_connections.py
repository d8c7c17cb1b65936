"""Lines that break: to PostgreSQL, to the receivers. What broke off is done again, and nothing is doubled unseen."""

import os
import signal
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from app.database import session_scope
from tests.integration.faults.conftest import CrashRig
from tests.kits.proxy import Proxy
from tests.kits.receivers import respond_when
from tests.kits.stages import Stages, let_leases_end
from tests.kits.waiting import PATIENCE_SECONDS, wait_until


@pytest.mark.usefixtures("two_pages")
@pytest.mark.parametrize("stage", ["poll", "evaluate", "deliver"])
@pytest.mark.parametrize("after_bytes", [2_000, 20_000, 60_000])
def test_a_line_to_the_database_that_is_cut_costs_nothing(rig: CrashRig, stage: str, after_bytes: int) -> None:
    """The answers that are cut off may be those to a COMMIT that was done."""
    url = rig.stages.environment["DATABASE_URL"]
    for earlier in ("poll", "evaluate", "deliver"):
        if earlier == stage:
            break
        assert rig.stages.run(earlier) == 0
    with Proxy(urlsplit(url).port or 0, cuts_after_bytes=after_bytes) as line:
        through = url.replace(f":{urlsplit(url).port}/", f":{line.port}/")
        rig.stages.run(stage, DATABASE_URL=through)
        assert line.connections
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end(unknown=len(rig.attempts()))


@pytest.mark.usefixtures("two_pages")
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("stage", ["poll", "evaluate", "deliver"])
def test_a_commit_that_was_done_and_whose_answer_was_lost_costs_nothing(rig: CrashRig, stage: str, number: int) -> None:
    """The first commit of each connection is that of the driver's own questions."""
    url = rig.stages.environment["DATABASE_URL"]
    for earlier in ("poll", "evaluate", "deliver"):
        if earlier == stage:
            break
        assert rig.stages.run(earlier) == 0
    with Proxy(urlsplit(url).port or 0, cuts_at=b"COMMIT\0", lets_pass=number) as line:
        rig.stages.run(stage, DATABASE_URL=url.replace(f":{urlsplit(url).port}/", f":{line.port}/"))
        assert line.cuts_at is None, "an answer was lost"
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end(unknown=len(rig.attempts()))


@pytest.mark.usefixtures("two_pages")
@pytest.mark.parametrize(
    ("table", "stage"), [("log_changes", "poll"), ("matches", "evaluate"), ("attempts", "deliver")]
)
def test_a_commit_in_the_midst_of_which_the_server_ends_the_session_was_none(
    rig: CrashRig, table: str, stage: str
) -> None:
    """A deferred trigger runs within COMMIT; this one ends its own session, once."""
    for earlier in ("poll", "evaluate", "deliver"):
        if earlier == stage:
            break
        assert rig.stages.run(earlier) == 0
    with session_scope() as session:
        session.execute(text("CREATE SEQUENCE ended"))
        session.execute(
            text(
                "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
                " IF nextval('ended') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
                " RETURN NULL; END$$"
            )
        )
        session.execute(
            text(
                f"CREATE CONSTRAINT TRIGGER ends AFTER INSERT OR UPDATE ON {table}"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_session()"
            )
        )
    rig.stages.run(stage)
    with session_scope() as session:
        assert session.scalar(text("SELECT last_value FROM ended")), "it met the trigger"
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end(unknown=len(rig.attempts()))


@pytest.mark.parametrize("after_bytes", [0, 10, 60])
def test_a_receiver_whose_answer_is_cut_off_may_get_it_again_under_the_same_id(rig: CrashRig, after_bytes: int) -> None:
    port = rig.web.port
    with Proxy(port, cuts_after_bytes=after_bytes) as line:
        with session_scope() as session:
            found = session.execute(text("SELECT id FROM actions WHERE action_type = 'webhook'")).scalar_one()
        rig.point_webhook(found, rig.web.url.replace(str(port), str(line.port)))
        assert rig.stages.run("poll") == 0
        assert rig.stages.run("evaluate") == 0
        assert rig.stages.run("deliver") == 0
        cut_off = [attempt for attempt in rig.attempts() if attempt.outcome == "retry"]
        line.behave()
        rig.go_on()
    hooks = [request.headers["webhook-id"] for request in rig.web.requests]
    assert len(set(hooks)) == 3
    assert len(hooks) <= 3 + len(cut_off)
    assert {each.status for each in rig.deliveries()} == {"succeeded"}
    assert len({(request.headers["webhook-id"], request.body) for request in rig.web.requests}) == 3


def test_a_worker_that_sleeps_past_its_lease_can_write_nothing_more(rig: CrashRig) -> None:
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate") == 0
    sleeping = False

    # While the sender sleeps its question waits there; whoever asks later is answered.
    rig.web.answers = [respond_when(lambda: sleeping)]
    sleeper = rig.stages.start("deliver")
    wait_until(lambda: len(rig.web.requests) == 2, "two webhooks are under way")
    wait_until(lambda: _falls_asleep(sleeper.pid or 0), "it sleeps outside of any transaction")
    sleeping = True
    let_leases_end()
    assert rig.stages.run("deliver") == 0
    os.kill(sleeper.pid or 0, signal.SIGCONT)
    sleeper.join(PATIENCE_SECONDS)
    assert sleeper.exitcode == 0
    outcomes = [attempt.outcome for attempt in rig.attempts()]
    assert outcomes.count("succeeded") == len(rig.deliveries())
    assert outcomes.count("unknown") >= 2, "what the sleeper saw is not written over what the other one did"
    rig.check_in_the_end(unknown=outcomes.count("unknown"))


def _falls_asleep(pid: int) -> bool:
    """Stop a process; let it go on where it would sleep in the middle of a transaction, which holds up everybody."""
    os.kill(pid, signal.SIGSTOP)
    with session_scope() as session:
        others = session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
        )
    if others:
        os.kill(pid, signal.SIGCONT)
    return not others


@pytest.mark.usefixtures("two_pages")
def test_a_stream_that_two_processes_would_poll_is_polled_by_one(rig: CrashRig) -> None:
    rig.simulator.faults.add("slow", times=3, seconds=1)
    first, second = rig.stages.start("poll"), rig.stages.start("poll")
    for process in (first, second):
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
    rig.go_on()
    rig.check_in_the_end()


@pytest.mark.usefixtures("two_pages")
def test_a_database_that_cannot_be_written_moves_nothing(rig: CrashRig, database: str) -> None:
    name = urlsplit(database).path.removeprefix("/")
    with session_scope() as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    read_only = Stages(rig.stages.environment)
    for stage in ("poll", "evaluate", "deliver"):
        read_only.run(stage)
    assert not rig.stored()
    with session_scope() as session:
        assert not session.scalars(text("SELECT 1 FROM streams WHERE complete_until IS NOT NULL")).all()
    with session_scope() as session:
        session.execute(text("SET TRANSACTION READ WRITE"))
        session.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    rig.check_always()
    rig.go_on()
    rig.check_in_the_end()


def test_a_rotated_secret_key_decrypts_old_secrets_and_a_lost_one_is_reported(rig: CrashRig) -> None:
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate") == 0
    old = rig.stages.environment["SECRET_KEY"]
    assert rig.stages.run("deliver", SECRET_KEY="another-key-that-opens-nothing") == 0
    lost = [attempt for attempt in rig.attempts() if attempt.outcome == "failed"]
    assert len(lost) == 6
    assert {attempt.error for attempt in lost} == {
        "SECRET_KEY does not decrypt a stored secret: add the key that encrypted it"
    }
    assert not rig.web.requests
    with session_scope() as session:
        session.execute(text("UPDATE deliveries SET status = 'pending', next_attempt_at = now(), finished_at = NULL"))
    assert rig.stages.run("deliver", SECRET_KEY=f"the-new-key-that-encrypts,{old}") == 0
    assert {each.status for each in rig.deliveries()} == {"succeeded"}
