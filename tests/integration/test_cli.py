"""The command line: what an operator types, and what it says."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select as select_ready
from uuid import uuid4

import pytest
from rich.console import Console
from sqlalchemy import func, select, text, update

from app import __version__, wake
from app.cli import main
from app.config import get_settings
from app.database import session_scope
from app.models import Account, Action, ApiKey, CoverageGap, Heartbeat, Log, Rule, Stream
from app.services.ingest import accounts
from app.services.outbox import actions
from app.utils.clock import utc_now
from app.utils.crypto import decrypt, encrypt
from scripts.local.processes import free_port
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import KeyKind, Simulator, SimulatorServer
from tests.conftest import SECRET_KEY, forget
from tests.kits.receivers import http_receiver, respond
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch) -> Run:
    """Type a command; the answer is its exit code, and what it wrote to standard output and standard error."""
    environment.setenv("COLUMNS", "300")

    def typed(*words: str) -> tuple[int, str, str]:
        environment.setattr(sys, "argv", ["app", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        written = capsys.readouterr()
        return code, written.out, written.err

    return typed


@pytest.fixture
def quiet(broker: str, valkey: Valkey) -> None:
    """No earlier test's wake-up is under way: one that finds no broker would write among what a command says."""
    wake._wake_queue.put("quiet", "quiet")
    wait_until(lambda: b"quiet" in valkey.ask("KEYS *quiet*"), "earlier wake-ups are sent, or given up")


@pytest.fixture
def simulator(database: str, quiet: None, environment: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A Twilio that the settings point at."""
    simulator = Simulator()
    with SimulatorServer(simulator) as server:
        environment.setenv("TWILIO_ACCOUNT_SID", simulator.account.sid)
        environment.setenv("TWILIO_AUTH_TOKEN", simulator.account.auth_token)
        environment.setenv("TWILIO_API_BASE_URL", server.url)
        environment.setenv("TWILIO_MONITOR_BASE_URL", server.url)
        forget()
        yield simulator


def test_each_stage_runs_once_manually(run: Run, simulator: Simulator) -> None:
    simulator.add_call(status="failed")
    code, out, _ = run("poll")
    assert code == 0
    assert len(re.findall(r"complete until 20", out)) == 3
    assert run("evaluate")[:2] == (0, "1 change evaluated\n")
    assert run("deliver")[:2] == (0, "0 deliveries attempted\n")


def test_a_poll_says_why_a_stream_was_not_read(run: Run, simulator: Simulator) -> None:
    run("poll")
    with session_scope() as session:
        calls, messages, errors = session.scalars(select(Stream).order_by(Stream.id))
        calls.complete_until = datetime(2026, 11, 23, 6, 9, tzinfo=UTC)
        messages.complete_until = None
        for stream in (calls, messages):  # another worker reads them
            stream.lease_token, stream.lease_until = uuid4(), utc_now() + timedelta(minutes=5)
        errors.unavailable, errors.unavailable_reason, errors.last_error = True, "it needs a key of its own", "refused"
    code, out, _ = run("poll")
    sid = simulator.account.sid
    assert out.splitlines() == [
        f"{sid} call: complete until 2026-11-23T06:09:00Z",
        f"{sid} error: unavailable: it needs a key of its own",
        f"{sid} message: not read yet",
    ]
    assert code == 0


def test_polling_nothing_says_what_to_set(run: Run, database: str) -> None:
    code, out, _ = run("poll")
    assert (code, "TWILIO_ACCOUNT_SID" in out) == (1, True)


def test_a_backfill_reads_the_past_without_alerts(run: Run, simulator: Simulator, broker: str) -> None:
    past = simulator.add_message(status="delivered", date_created="Mon, 02 Nov 2026 06:09:00 +0000")
    del past
    code, out, err = run("backfill", "--since", "20d")
    assert (code, err) == (0, "")
    assert "100 %" in out
    assert re.search(r" [1-9]\d* records read", out)
    with session_scope() as session:
        session.execute(update(Stream).values(unavailable=True))
    code, _, err = run("backfill", "--since", "1d")
    assert (code, "nothing of them can be read" in err) == (1, True)


def test_an_unreadable_span_is_refused(run: Run, simulator: Simulator) -> None:
    code, _, err = run("backfill", "--since", "91d")
    assert (code, "RETENTION_DAYS" in err) == (1, True)
    code, _, err = run("backfill", "--since", "0001-01-01T00:00+09:00")
    assert (code, "RETENTION_DAYS" in err) == (1, True)
    code, _, err = run("backfill", "--since", "yesterday")
    assert (code, "30d" in err) == (2, True)
    code, _, err = run("backfill", "--since", "1d", "--account", "AC" + "f" * 32)
    assert (code, "no such account" in err) == (1, True)


def test_keys_are_created_listed_and_revoked(run: Run, database: str) -> None:
    code, out, _ = run("keys", "create", "dashboard", "--scope", "read")
    clear = out.strip()
    assert (code, clear.startswith("gp_")) == (0, True)
    with session_scope() as session:
        key_id = session.scalars(select(ApiKey.id)).one()
    code, out, _ = run("keys", "list")
    assert "dashboard" in out
    assert clear not in out
    assert run("keys", "revoke", str(key_id))[:2] == (0, "dashboard is revoked\n")
    assert run("keys", "revoke", str(key_id))[0] == 1


def test_keys_are_created_by_their_former_command_too(run: Run, database: str) -> None:
    code, out, _ = run("keys", "make", "dashboard")
    assert (code, out.startswith("gp_")) == (0, True)
    _, help_text, _ = run("keys", "--help")
    assert "create" in help_text
    assert "make" not in help_text


def test_a_key_is_named_whole_on_a_narrow_terminal_and_revoked_by_its_name(
    run: Run, database: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr("app.cli.security.console", Console(width=80))
    for name in ("the dashboard of the operations team in the cellar", "twice", "twice"):
        run("keys", "create", name)
    _, out, _ = run("keys", "list")
    with session_scope() as session:
        ids = [str(key_id) for key_id in session.scalars(select(ApiKey.id).order_by(ApiKey.created_at))]
    assert [key_id for key_id in ids if key_id not in out] == []
    assert max(map(len, out.splitlines())) <= 80
    assert run("keys", "revoke", "the dashboard of the operations team in the cellar")[0] == 0
    code, _, err = run("keys", "revoke", "twice")
    assert (code, [key_id in err for key_id in ids]) == (1, [False, True, True])
    code, _, err = run("keys", "revoke", "thrice")
    assert (code, "no key of this name" in err) == (1, True)


def test_secrets_are_encrypted_under_the_first_key(run: Run, database: str, environment: pytest.MonkeyPatch) -> None:
    with session_scope() as session:
        sid = "AC" + "1" * 32
        session.add(Account(sid=sid, started_at=utc_now(), auth_token=encrypt([SECRET_KEY], "a token")))
        actions.create(
            session, {"action_type": "webhook", "config": {"url": "https://example.com/x"}}, get_settings(), utc_now()
        )
    new = "another-secret-that-encrypts"
    environment.setenv("SECRET_KEY", f"{new},{SECRET_KEY}")
    forget()
    assert run("rotate-secrets")[:2] == (0, "2 secrets are encrypted under the first key\n")
    with session_scope() as session:
        assert decrypt([new], session.scalars(select(Account.auth_token)).one() or "") == "a token"
        assert "example.com" in decrypt([new], session.scalars(select(Action.config)).one())
    environment.setenv("SECRET_KEY", "a-key-that-opens-nothing-at-all")
    forget()
    code, _, err = run("rotate-secrets")
    assert (code, "SECRET_KEY" in err) == (1, True)


def test_an_export_is_imported_without_a_change(run: Run, database: str, tmp_path: Path) -> None:
    assert run("packs", "install", "delivery")[0] == 0
    assert run("packs", "install", "delivery")[1] == "all its rules exist already\n"
    _, document, _ = run("export")
    file = tmp_path / "rules.yaml"
    file.write_text(document)
    assert run("import", str(file))[:2] == (0, "nothing changes\n")
    file.write_text(document.replace("severity: warning", "severity: critical"))
    code, out, _ = run("import", str(file), "--dry-run")
    assert (code, "'warning' -> 'critical'" in out, "nothing was changed" in out) == (0, True, True)
    assert "severity: critical" not in run("export")[1].replace(document, "")
    assert run("import", str(file))[0] == 0
    assert "severity: critical" in run("export")[1]


def test_an_invalid_document_is_refused_by_its_fields(run: Run, database: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules: [{slug: a, name: x}]\n")
    code, _, err = run("import", str(file))
    assert code == 1
    assert "rules.0" in err


def test_packs_are_listed(run: Run) -> None:
    code, out, _ = run("packs", "list")
    assert (code, "delivery: " in out) == (0, True)
    assert run("packs", "install", "nothing")[0] == 1


def test_the_doctor_finds_all_well(run: Run, simulator: Simulator, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PUBLIC_BASE_URL", address := f"http://localhost:{free_port()}")
    forget()
    with session_scope() as session:
        session.add_all([Heartbeat(name=name, seen_at=utc_now()) for name in ("worker", "beat")])
    code, out, _ = run("doctor")
    assert "wrong durability: fsync is off" in out, "as it is for tests"
    assert "ok database: PostgreSQL" in out
    assert "ok broker" in out
    assert "ok worker and beat" in out
    for log_type in ("calls", "messages", "errors"):
        assert f"ok {log_type} of {simulator.account.sid}: can be read" in out
    assert f"ok account {simulator.account.sid}: the credentials are accepted, the clocks agree" in out
    assert "note mail: SMTP_HOST is not set" in out
    assert f"wrong public address: {address} does not answer" in out
    assert code == 1


def test_the_doctor_says_what_to_do(run: Run, simulator: Simulator, environment: pytest.MonkeyPatch) -> None:
    simulator.set_account(refuse_credentials=True)
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    environment.setenv("SMTP_HOST", "127.0.0.1")
    environment.setenv("SMTP_PORT", "9")
    environment.setenv("SMTP_FROM", "alerts@example.com")
    forget()
    code, out, _ = run("doctor")
    assert code == 1
    assert "wrong broker: it does not answer: see REDIS_URL" in out
    assert f"wrong account {simulator.account.sid}" in out or f"wrong calls of {simulator.account.sid}" in out
    assert "Correct TWILIO_AUTH_TOKEN, or the API key, in the environment or .env" in out
    assert "wrong mail: 127.0.0.1:9 did not accept the connection" in out
    assert simulator.account.auth_token not in out


def test_the_doctor_knows_what_a_key_may_read_and_what_is_missing(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch
) -> None:
    key = simulator.add_key(kind=KeyKind.STANDARD)
    environment.delenv("TWILIO_AUTH_TOKEN")
    environment.setenv("TWILIO_API_KEY_SID", key.sid)
    environment.setenv("TWILIO_API_KEY_SECRET", key.secret)
    forget()
    sid, now = simulator.account.sid, utc_now()
    run("poll")
    with session_scope() as session:
        calls, _, errors = session.scalars(select(Stream).order_by(Stream.id))
        session.add(
            CoverageGap(stream_id=calls.id, since=now, until=now, reason="Twilio no longer lists it", noted_at=now)
        )
        errors.unavailable, errors.unavailable_reason = True, "it needs a key of its own"
    _, out, _ = run("doctor")
    assert f"note account {sid}: the clocks agree; this credential may not read" in out
    assert f"ok messages of {sid}: can be read" in out
    assert f"note errors of {sid}: it needs a key of its own" in out
    assert re.search(rf"note calls of {sid}: missing from .* to .*: Twilio no longer lists it", out)
    assert f"note callbacks of {sid}: no auth token is known" in out


def test_the_doctor_looks_on_where_the_database_is_gone(run: Run) -> None:
    code, out, _ = run("doctor")
    assert code == 1
    assert "wrong database: it does not answer" in out
    assert "public address" in out


def test_a_database_that_is_gone_is_reported_in_one_line(run: Run) -> None:
    code, _, err = run("poll")
    assert (code, err.count("\n"), "DATABASE_URL" in err) == (1, 1, True)


def test_an_invalid_setting_is_reported_in_one_line(run: Run, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SETTLE_HOURS", "0")
    forget()
    code, _, err = run("poll")
    assert (code, err.count("\n"), "SETTLE_HOURS" in err) == (2, 1, True)


def test_a_rule_is_previewed_as_a_table_and_a_plot(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    simulator.add_message(status="undelivered", error_code=30003)
    run("poll")
    file = tmp_path / "rule.yaml"
    file.write_text("{name: Undelivered, log_type: message, pattern_type: status, pattern_value: undelivered}")
    code, out, err = run("preview", str(file), "--since", "1d")
    assert (code, err) == (0, "")
    assert "1 log in the population, 1 match, 1 alert" in out
    assert "█" in out
    assert "Resolves an hour after the last match." in " ".join(out.split())
    assert "alerts by" not in out
    condition = "{type: threshold, count: 1, resolve_count: 1, window_minutes: 5}"
    file.write_text(file.read_text().replace("}", f", condition: {condition}}}"))
    code, out, err = run("preview", str(file), "--since", "1d")
    assert "alerts by count: 1: 1 (this rule), 2: 0, " in " ".join(out.split())
    file.write_text("{name: Undelivered, log_type: message, pattern_type: status}")
    code, _, err = run("preview", str(file))
    assert (code, "pattern_value" in err) == (1, True)


def test_the_plot_of_a_preview_fits_a_narrow_terminal(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("COLUMNS", "80")
    for minutes in (1, 5 * 24 * 60):
        simulator.add_message(at=utc_now() - timedelta(minutes=minutes), status="undelivered", error_code=30003)
    run("backfill", "--since", "7d")
    file = tmp_path / "rule.yaml"
    file.write_text("{name: Undelivered, log_type: message, pattern_type: status, pattern_value: undelivered}")
    _, out, _ = run("preview", str(file), "--since", "7d")
    plot = next(line for line in out.splitlines() if line.startswith("matches"))
    firing = next(line for line in out.splitlines() if line.startswith("firing"))
    assert plot.count("█") == 2
    assert "^" in firing
    assert len(plot) == len(firing) <= 80


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"name: a\nlog_type: ]", 1, "syntax error in line 2"),
        (b"name: a\nname: b\nlog_type: call\npattern_type: any", 1, "names a key twice"),
        (b"- no rule", 1, "must be the fields of a rule"),
        (b"name: \xff", 2, "is not UTF-8"),
    ],
)
def test_an_unreadable_file_is_reported_with_its_position(
    run: Run, tmp_path: Path, content: bytes, code: int, words: str
) -> None:
    file = tmp_path / "rule.yaml"
    file.write_bytes(content)
    found, _, err = run("preview", str(file))
    assert (found, words in " ".join(err.split()), str(file) in err) == (code, True, True), err


def test_help_names_every_command(run: Run) -> None:
    _, out, _ = run("--help")
    for name in ("doctor", "poll", "backfill", "evaluate", "deliver", "export", "import", "keys", "rotate-secrets"):
        assert re.search(rf"\b{name}\b", out), name


def test_the_environments_account_is_added_by_a_poll(run: Run, simulator: Simulator) -> None:
    run("poll")
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
        assert session.scalars(select(Account.sid)).all() == [simulator.account.sid]
        session.execute(update(Log).values(status="x"))
        assert session.scalar(text("SELECT count(*) FROM logs")) == 0


def test_a_command_without_the_credentials_of_the_processes_changes_nothing(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch
) -> None:
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
    environment.delenv("TWILIO_ACCOUNT_SID")
    environment.delenv("TWILIO_AUTH_TOKEN")
    forget()
    _, out, _ = run("doctor")
    assert f"note account {simulator.account.sid}: its credentials are in the environment of the processes" in out
    for words in (["poll"], ["backfill", "--since", "1d"]):
        code, _, err = run(*words)
        assert (code, f"giftpulse: account {simulator.account.sid}" in err, err.count("\n")) == (1, True, 1)
    with session_scope() as session:
        watched = session.execute(select(Account.enabled, Account.from_environment)).one()
        assert tuple(watched) == (True, True)
        assert session.scalars(select(Stream.last_error)).all() == [None] * 3


def test_one_command_makes_the_first_rules_and_actions_and_tests_them(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch
) -> None:
    _, out, _ = run("doctor")
    assert "note first steps: no rule is enabled" in out
    assert "note first steps: no action is enabled: nobody is notified" in out
    with http_receiver(respond(200), respond(500)) as slack:
        environment.setenv("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        forget()
        code, out, err = run("setup", "--pack", "delivery", "--slack", slack.url)
        assert (code, err) == (0, ""), out
        assert "rules created" in out
        assert "message to Slack: created\ntest: was accepted" in out
        code, out, _ = run("setup", "--pack", "delivery", "--slack", slack.url)
        assert "rule pack delivery: its rules exist\nmessage to Slack: exists\ntest: failed: " in out
        assert code == 1
        assert len(slack.requests) == 2
    assert "first steps" not in run("doctor")[1]


def test_setup_says_what_it_needs(run: Run, simulator: Simulator) -> None:
    code, _, err = run("setup", "--mail", "ops@example.com")
    assert (code, "SMTP_HOST" in err) == (2, True)
    code, _, err = run("setup")
    assert (code, "--pack" in err) == (2, True)
    code, _, err = run("setup", "--pack", "nothing")
    assert (code, "no rule pack" in err) == (1, True)


@contextmanager
def asked(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str], Callable[[str], None]]]:
    """Run a command at a terminal: the process, what waits for a text on the screen, and what types a line."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "app", "--folder", "/nonexistent", *words]  # not what a developer has started
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=ROOT)
    os.close(theirs)
    screen = bytearray()

    def see(wanted: str) -> str:
        def is_there() -> bool:
            while select_ready([ours], [], [], 0)[0]:
                try:
                    screen.extend(os.read(ours, 4096))
                except OSError:  # it has ended
                    break
            return wanted in screen.decode(errors="replace")

        wait_until(is_there, f"{wanted!r} is on the screen")
        shown = screen.decode(errors="replace")
        screen.clear()
        return shown

    try:
        yield process, see, lambda line: (os.write(ours, f"{line}\n".encode()), None)[1]
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_setup_asks_again_where_an_answer_cannot_be_used(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch
) -> None:
    with http_receiver(respond(200)) as slack:
        environment.setenv("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        with asked("setup") as (process, see, type_in):
            see("[delivery]")
            type_in("deliverance")
            assert "Error: there is no rule pack of this name" in see("[delivery]: ")
            type_in("")
            see("Email addresses")
            type_in("ops@example.com")
            assert "Error: mail needs a server" in see("Email addresses")
            type_in("")
            see("Slack webhook")
            type_in("hooks.slack.com")
            assert "Error: " in see("Slack webhook")
            type_in(slack.url)
            said = see("test: was accepted")
            assert "message to Slack: created" in said
            assert process.wait(PATIENCE_SECONDS) == 0


def test_setup_that_is_interrupted_leaves_nothing_half_made(run: Run, simulator: Simulator) -> None:
    with asked("setup") as (process, see, type_in):
        see("[delivery]")
        type_in("")
        see("Email addresses")
        process.send_signal(signal.SIGINT)
        assert "Aborted" in see("Aborted")
        assert process.wait(PATIENCE_SECONDS) == 1
    with session_scope() as session:
        assert session.scalar(select(func.count()).select_from(Rule)) == 0


def test_a_check_says_in_one_line_whether_this_version_fits(
    run: Run, simulator: Simulator, environment: pytest.MonkeyPatch
) -> None:
    code, out, err = run("check")
    assert (code, out, err) == (0, f"schema, settings and secrets fit GiftPulse {__version__}\n", "")
    with session_scope() as session:
        session.add(Account(sid="AC" + "1" * 32, started_at=utc_now(), auth_token=encrypt([SECRET_KEY], "a token")))
    environment.setenv("SECRET_KEY", "a-key-that-opens-nothing-at-all")
    forget()
    code, out, err = run("check")
    assert (code, out, err.count("\n"), "SECRET_KEY" in err) == (1, "", 1, True)
    environment.delenv("API_KEY")
    forget()
    code, _, err = run("check")
    assert (code, err.count("\n"), "API_KEY is not set" in err) == (2, 1, True)


def test_a_schema_of_another_version_does_not_fit(run: Run, database: str) -> None:
    with session_scope() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    code, _, err = run("check")
    assert (code, err.count("\n"), "0001" in err) == (1, 1, True)


def test_twilio_is_changed_only_when_somebody_says_so(run: Run, simulator: Simulator) -> None:
    number = "PN" + "1" * 32
    simulator.configuration.add_number(simulator.account.sid, number, "+14155550123")
    run("poll")
    code, out, _ = run("twilio", "connect", "--dry-run")
    assert (code, "would lead to" in out) == (0, True)
    code, out, err = run("twilio", "connect")
    assert (code, "would lead to" in out, "--yes" in err) == (2, True, True)
    assert not simulator.configuration.resources[number]["status_callback"]
    assert run("twilio", "connect", "--yes")[0] == 0
    assert simulator.configuration.resources[number]["status_callback"]


@pytest.mark.usefixtures("database")
def test_a_report_is_printed_as_text_or_as_json(run: Run) -> None:
    code, out, err = run("report", "--since", "2026-11-16", "--until", "2026-11-23")
    assert (code, err) == (0, "")
    assert out.startswith("Report\nMon 16 Nov 2026, 00:00 to Mon 23 Nov 2026, 00:00 (UTC)\n")
    assert "Nothing came." in out
    assert "You receive this mail" not in out
    code, out, err = run("report", "--since", "2026-11-16", "--until", "2026-11-23", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["traffic"]["total"] == 0
    code, out, _ = run("report", "--json")
    until = datetime.fromisoformat(json.loads(out)["until"])
    assert (code, until.minute, until.second) == (0, 0, 0), "up to the last full hour, which is read whole soonest"
    assert run("report", "--since", "1m")[0] == 0
    code, _, err = run("report", "--since", "200d")
    assert code == 1
    assert "since: must not be more than 92 days before until" in err


@pytest.mark.usefixtures("database")
def test_a_number_is_erased_only_where_somebody_has_said_so(run: Run) -> None:
    code, _, err = run("erase", "+14155550100")
    assert code == 2
    assert "--yes erases it" in err
    assert run("erase", "+14155550100", "--yes") == (0, "nothing contains it\n", "")
    code, _, err = run("erase", "nobody", "--yes")
    assert (code, "number: must be a phone number with its country" in err) == (1, True)
