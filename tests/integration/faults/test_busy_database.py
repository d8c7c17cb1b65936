"""A database that is busy: transactions that lock in opposite order, a pool that is used up, lines lost at a COMMIT."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg2
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from structlog.testing import capture_logs

from app.bulk import update_rows
from app.config import get_settings
from app.database import LIMITS, AdvisoryLock, get_engine, session_scope, write_with_retry
from app.enums import NotificationType
from app.models import ManagedEntry
from app.services import rule_admin
from app.services.alerts.withholding import withheld
from app.services.evaluation import rule_set
from app.services.outbox import actions as action_admin
from app.services.outbox import bundle, enqueue
from app.services.outbox.notice import make_notice
from app.services.transfer import transfer
from app.tasks import jobs, outage, slots
from app.utils import database_errors, db_retry
from app.utils.clock import utc_now
from app.utils.db_retry import retry_on_conflict
from app.utils.json_types import JsonObject
from tests.conftest import API_KEY, forget
from tests.factories import alert_row
from tests.feeding import Feed, log
from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, make_app
from tests.integration.api.serving import serving
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

KEY = {"X-API-Key": API_KEY}
LOCK_SET = f"SELECT pg_advisory_xact_lock({AdvisoryLock.RULE_SET})"
LOCK_NOTICES = f"SELECT pg_advisory_xact_lock({AdvisoryLock.NOTICES})"


@pytest.fixture
def rule(database: str) -> str:
    with session_scope() as session:
        return str(rule_admin.create(session, RULE, get_settings(), utc_now()).id)


def _lock(rule: str) -> str:
    return f"SELECT id FROM rules WHERE id = '{rule}' FOR UPDATE"


def _entangle(url: str, work: Callable[[], Any], *locks: str) -> Any:
    """Let work meet somebody who takes its locks in opposite order, and wins."""
    opponent = psycopg2.connect(url)
    try:
        cursor = opponent.cursor()
        cursor.execute("SET deadlock_timeout = '1min'")
        cursor.execute(locks[0])
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            wait_until(_somebody_waits, "the work waits for the opponent")
            cursor.execute(locks[1])
            opponent.commit()
            return working.result(PATIENCE_SECONDS)
    finally:
        opponent.close()


def _somebody_waits() -> bool:
    with session_scope() as session:
        waiting = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(waiting)))


def test_a_request_that_hit_a_conflict_is_handled_again(database: str, rule: str) -> None:
    with serving(make_app()) as address:
        path = f"{address}/api/rules/{rule}"

        def edit() -> httpx.Response:
            return httpx.patch(path, json={"name": "Other"}, headers=KEY, timeout=PATIENCE_SECONDS)

        answer = _entangle(database, edit, LOCK_SET, _lock(rule))
    assert (answer.status_code, answer.json()["name"]) == (200, "Other")
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM audit_entries WHERE action = 'rule.update'")) == 1


def test_work_that_hit_a_conflict_is_done_again(database: str, rule: str) -> None:
    tries = []

    def work() -> None:
        tries.append(1)
        with session_scope() as session:
            session.execute(text(LOCK_SET))
            update_rows(session, "rules", {"id": "uuid"}, {"name": "text"}, [(rule, "Other")])

    _entangle(database, lambda: retry_on_conflict(work), _lock(rule), LOCK_SET)
    assert len(tries) == 2


def test_work_that_always_hits_conflicts_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_retry, "CONFLICT_WAITS_SECONDS", (0, 0, 0))
    tries = []

    def work() -> None:
        tries.append(1)
        with session_scope() as session:
            session.execute(text("DO $$BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END$$"))

    with pytest.raises(DBAPIError):
        retry_on_conflict(work)
    assert len(tries) == 4


@pytest.fixture
def impatient(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a lock for long."""
    monkeypatch.setattr("app.database.LIMITS", {**LIMITS, "lock_timeout": "100ms"})
    forget()


def test_a_task_that_waits_too_long_for_a_rule_says_so_once_and_is_tried_again(impatient: None, rule: str) -> None:
    from app.tasks.celery_app import celery_app  # reads the settings at its import

    slots.prepare()
    outage._reported_at[:] = bytes(16)
    now = utc_now()
    feed = Feed(now - timedelta(hours=1))
    feed.store([log(1, now)], now)
    evaluate = celery_app.tasks[jobs.evaluate.name]
    with session_scope() as other, capture_logs() as lines:
        rule_set.lock_rules(other, [UUID(rule)])
        evaluate()
        evaluate()
    [line] = lines
    assert (line["event"], line["log_level"]) == ("another change holds what this task needs", "warning")
    assert (line["sqlstate"], line["retried"]) == ("55P03", "at the next tick")
    assert "rule_set.py" in line["where"]
    evaluate()
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM alerts")) == 1


def test_contention_hides_no_outage() -> None:
    slots.prepare()
    outage._reported_at[:] = bytes(16)
    contention = OperationalError("", None, type("Error", (Exception,), {"pgcode": "55P03"})())
    with capture_logs() as lines:
        outage.report(contention)
        outage.report(OperationalError("", None, Exception("gone")))
    assert [line["log_level"] for line in lines] == ["warning", "error"]


def test_a_person_who_waits_too_long_for_a_rule_is_told_so(impatient: None, rule: str) -> None:
    with serving(make_app()) as address, session_scope() as other:
        other.execute(text(LOCK_SET))
        answer = httpx.patch(f"{address}/api/rules/{rule}", json={"name": "O"}, headers=KEY, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 503
    assert "Another change holds what this one needs" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("state", "said"),
    [("55P03", database_errors.CONTENDED), ("40P01", database_errors.CONTENDED), ("57014", database_errors.TOO_SLOW)],
)
def test_a_wait_is_not_explained_as_an_outage(database: str, state: str, said: str) -> None:
    with session_scope() as session, pytest.raises(DBAPIError) as raised:
        session.execute(text(f"DO $$BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END$$"))
    assert database_errors.explain(raised.value) == said


ORDER_OF_LOCKS = (
    ("the rule set", LOCK_SET, LOCK_SET),
    ("alerts", "SELECT FROM alerts ORDER BY id LIMIT 1 FOR UPDATE", "SELECT FROM alerts ORDER BY id FOR UPDATE"),
    ("notices", LOCK_NOTICES, LOCK_NOTICES),
    (
        "actions",
        "SELECT FROM actions ORDER BY id LIMIT 1 FOR NO KEY UPDATE",
        "SELECT FROM actions ORDER BY id FOR NO KEY UPDATE",
    ),
    ("deliveries", "SELECT FROM deliveries FOR UPDATE", "SELECT FROM deliveries FOR UPDATE"),
    ("counters", "SELECT FROM counters FOR UPDATE", "SELECT FROM counters FOR UPDATE"),
)
"""What somebody locks, first one of it and then all of it. Nobody who holds one waits for an earlier one."""
RULES_OF_DOCUMENT = ("edited", "dropped")


def _import(rules: Sequence[str], actions: Mapping[str, JsonObject], **fields: object) -> None:
    """Import rules, each with these fields, and actions by their slugs; prune others."""
    document = {
        "version": 1,
        "rules": [RULE | {"slug": f"{slug}-rule"} | fields for slug in rules],
        "actions": [{"slug": slug, **action} for slug, action in actions.items()],
    }
    with session_scope() as session:
        transfer.apply_document(session, json.dumps(document), get_settings(), "ann", utc_now(), prune=True)


def _notify_of_alerts() -> list[str]:
    """Open an alert of each rule, and notify all actions; return the slugs of the two to keep, the last id first."""
    now = utc_now()
    with session_scope() as session:
        managed = {each.slug: each.object_id for each in session.scalars(select(ManagedEntry).order_by("object_id"))}
        alerts = [
            alert_row(now, id=UUID(int=number), rule_id=managed[f"{slug}-rule"], firing_notified_at=now)
            for number, slug in ((1, "dropped"), (2, "edited"))
        ]
        session.add_all(alerts)
        session.flush()
        notices = [make_notice(NotificationType.FIRING, alert) for alert in alerts]
        enqueue.enqueue(session, notices, get_settings(), now)
    return [slug for slug in reversed(managed) if slug in ("first", "second")]


@pytest.mark.parametrize("rules", [{"pattern_value": "30004"}, {}], ids=["edits a rule", "only deletes a rule"])
@pytest.mark.parametrize("held", range(len(ORDER_OF_LOCKS) - 1), ids=[name for name, _, _ in ORDER_OF_LOCKS[:-1]])
def test_an_import_locks_in_the_order_of_everybody_else(database: str, held: int, rules: dict[str, str]) -> None:
    _import(RULES_OF_DOCUMENT, {"first": WEBHOOK, "second": WEBHOOK, "dropped": WEBHOOK})
    last_first = _notify_of_alerts()
    later = "; ".join(everything for _, _, everything in ORDER_OF_LOCKS[held:])

    def change_everything() -> None:
        _import(["edited"], dict.fromkeys(last_first, EMAIL), **rules)

    _entangle(database, change_everything, ORDER_OF_LOCKS[held][1], later)
    with session_scope() as session:
        resolved = session.scalar(text("SELECT count(*) FROM alerts WHERE status = 'resolved'"))
        assert resolved == (2 if rules else 1)
        assert session.scalar(text("SELECT count(*) FROM actions")) == 2


def test_an_import_that_changes_no_rule_waits_for_no_evaluation(impatient: None) -> None:
    _import(RULES_OF_DOCUMENT, {})
    with session_scope() as evaluation:
        rule_set.load_rule_set(evaluation)
        _import(RULES_OF_DOCUMENT, {"first": WEBHOOK})
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM actions")) == 1


def test_bundles_that_end_lock_their_firings_in_the_order_in_which_resolves_remove_them(database: str) -> None:
    now = utc_now()
    with session_scope() as session:
        for least in ("critical", "warning"):
            body = EMAIL | {"bundle_seconds": 60, "min_severity": least}
            action_admin.create(session, body, get_settings(), now)
        alerts = [alert_row(now, severity=severity) for severity in ("warning", "critical")]
        session.add_all(alerts)
        session.flush()
        notices = [make_notice(NotificationType.FIRING, alert) for alert in alerts]
        assert enqueue.enqueue(session, notices, get_settings(), now) == 3

    def release() -> None:
        with session_scope() as session:
            bundle.release_due(session, get_settings(), withheld, now + timedelta(minutes=2))

    one_by_one = "SELECT FROM deliveries ORDER BY number {} FOR UPDATE"
    _entangle(database, release, one_by_one.format("LIMIT 1"), one_by_one.format(""))
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM deliveries WHERE bundle_until IS NOT NULL")) == 0


def test_a_pool_that_is_used_up_refuses_and_recovers(database: str) -> None:
    engine = get_engine()
    engine.pool._timeout = 0.2  # type: ignore[attr-defined]  # how long a request waits
    with serving(make_app()) as address:
        with ExitStack() as stack:
            for _ in range(16):
                stack.enter_context(engine.connect())
            refused = httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS)
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert int(refused.headers["retry-after"]) > 0
            assert httpx.get(f"{address}/api/health/live", timeout=PATIENCE_SECONDS).status_code == 200
        assert httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS).status_code == 200


def test_an_outcome_is_written_once_the_database_is_back(database: str) -> None:
    lost = iter(["once", "twice"])

    def write(session: Any) -> None:
        session.execute(text("INSERT INTO heartbeats VALUES ('worker', now())"))
        if next(lost, None):
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    write_with_retry(write)
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM heartbeats")) == 1
