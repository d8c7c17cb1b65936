"""One GiftPulse as real processes, and blow after blow: broker, PostgreSQL, workers, beats.

The tests share their processes, and each leaves them well.
"""

import os
import pickle
import signal
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest

from scripts.local import processes
from scripts.local.postgres import Postgres
from scripts.local.valkey import Valkey
from tests.conftest import migrate
from tests.kits.deployment import Deployment
from tests.kits.frozen import children_of, frozen
from tests.kits.receivers import respond, respond_after
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.timeout(600)
_numbers = count(100)


class Cluster:
    """The world with servers of its own, which may be killed."""

    def __init__(self, deployment: Deployment, postgres: Postgres, valkey: Valkey) -> None:
        self.deployment, self.postgres, self.valkey = deployment, postgres, valkey

    def fail_a_call(self) -> str:
        """Let a call to a new number fail; there must be an alert and a webhook."""
        return self.deployment.simulator.add_call(status="failed", to=f"+447700900{next(_numbers)}")

    def notification_count(self, sid: str) -> int:
        """Count the webhooks that tell of a call."""
        return sum(
            sid in [log["sid"] for log in request.json["data"]["logs"]] for request in self.deployment.web.requests
        )

    def wait_until_notified(self, *sids: str) -> None:
        wait_until(lambda: all(map(self.notification_count, sids)), "the call is told of", pause_seconds=0.1)

    def wait_until_health_is(self, status_code: int) -> None:
        """Ask until it is: what was found is remembered for some seconds."""
        wait_until(
            lambda: self.deployment.api.get("/api/health").status_code == status_code, f"health is {status_code}"
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.deployment.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def stop(self, name: str) -> None:
        processes.stop(self.deployment.children.running.pop(name))

    def log(self, name: str) -> str:
        """Read what a process has said."""
        return (self.deployment.folder / f"{name}.log").read_text(errors="replace")

    def check(self) -> None:
        """Check that no process died, everything emitted is stored once, and nobody was told twice."""
        self.deployment.children.check()
        stored = Counter(sid for (sid,) in self.query("SELECT sid FROM logs"))
        assert set(stored) == {each.sid for each in self.deployment.simulator.emitted()}
        assert max(stored.values()) == 1
        copies = Counter(request.headers["webhook-id"] for request in self.deployment.web.requests)
        cut_short = dict(
            self.query(
                "SELECT delivery_id::text, count(*) FROM attempts WHERE outcome = 'unknown'"
                " OR (outcome = 'retry' AND status_code IS NULL) GROUP BY 1"
            )
        )
        assert {each: number for each, number in copies.items() if number - 1 > cut_short.get(each, 0)} == {}


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    postgres = Postgres(folder / "city-postgres", settings={"fsync": "off", "max_connections": "100"})
    valkey = Valkey(folder / "city-valkey")
    logs = folder / "city-logs"
    logs.mkdir()
    try:
        postgres.start()
        valkey.start()
        migrate(postgres.url())
        with Deployment(postgres.url(), valkey.url(), logs) as deployment:
            deployment.start()
            made = Cluster(deployment, postgres, valkey)
            read = "SELECT count(*) FROM streams WHERE last_success_at IS NOT NULL"
            wait_until(lambda: made.query(read) == [(3,)], "the streams are read")
            rule = {"name": "Failed", "log_type": "call", "pattern_type": "status", "pattern_value": "failed"}
            deployment.make("/api/rules", rule | {"group_by": ["to"], "cooldown_minutes": 0})
            deployment.make("/api/actions", {"action_type": "webhook", "config": {"url": deployment.web.url}})
            yield made
    finally:
        valkey.stop(signal.SIGKILL)
        postgres.stop()


@pytest.fixture(autouse=True)
def well(cluster: Cluster) -> Iterator[None]:
    """Begin without a flood of notifications behind us, which would fold the next ones, and end with one more."""
    cluster.query("UPDATE deliveries SET created_at = created_at - interval '10 minutes' RETURNING 1")
    yield
    cluster.wait_until_notified(cluster.fail_a_call())
    cluster.check()


def test_a_broker_that_is_killed_and_comes_back_empty_costs_a_tick(cluster: Cluster) -> None:
    for _ in range(2):
        before = cluster.fail_a_call()
        cluster.valkey.stop(signal.SIGKILL)
        during = cluster.fail_a_call()
        cluster.valkey.start()
        cluster.valkey.ask("FLUSHALL")
        cluster.wait_until_notified(before, during)
    cluster.deployment.children.check()
    assert "Connection to broker lost" in cluster.log("worker")
    assert "DeprecationWarning" not in cluster.log("worker"), "the library's plans are nothing for an operator"


def test_the_api_answers_while_the_broker_is_frozen(cluster: Cluster) -> None:
    assert cluster.valkey.process is not None
    cluster.valkey.process.send_signal(signal.SIGSTOP)
    try:
        sid = cluster.fail_a_call()
        rule = {"name": "Never", "log_type": "error", "pattern_type": "keyword", "pattern_value": "never"}
        answers = (
            cluster.deployment.api.get("/api/alerts"),
            cluster.deployment.api.get("/api/health/live"),
            cluster.deployment.api.post("/api/rules", json=rule),
            cluster.deployment.api.post(f"/api/accounts/{cluster.deployment.simulator.account.sid}/poll"),
        )
        assert [answer.status_code for answer in answers] == [200, 200, 201, 202]
        health = cluster.deployment.api.get("/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["checks"]["broker"]["status"] == "degraded"
    finally:
        cluster.valkey.process.send_signal(signal.SIGCONT)
    cluster.wait_until_notified(sid)


def test_a_second_beat_doubles_nothing_and_without_any_nothing_is_lost(cluster: Cluster) -> None:
    cluster.deployment.start("beat-2")
    sids = [cluster.fail_a_call() for _ in range(3)]
    cluster.wait_until_notified(*sids)
    assert [cluster.notification_count(sid) for sid in sids] == [1, 1, 1]
    for name in ("beat", "beat-2"):
        cluster.stop(name)
    cluster.valkey.ask("FLUSHALL")
    sid = cluster.fail_a_call()
    cluster.deployment.start("beat")
    cluster.wait_until_notified(sid)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_postgresql_restarts_and_everything_continues(cluster: Cluster, how: signal.Signals) -> None:
    sid = cluster.fail_a_call()
    cluster.postgres.stop(how)
    try:
        assert cluster.deployment.api.get("/api/alerts").status_code == 503
        cluster.wait_until_health_is(503)
    finally:
        cluster.postgres.start()
    cluster.wait_until_notified(sid)
    cluster.wait_until_health_is(200)


def test_everything_continues_after_postgresql_was_frozen(cluster: Cluster) -> None:
    cluster.deployment.api.get("/api/alerts").raise_for_status()  # there is a connection in the pool
    with frozen(cluster.postgres.process):
        sid = cluster.fail_a_call()
        for path in ("/api/alerts", "/api/health", "/api/rules"):
            assert cluster.deployment.api.get(path).status_code == 503
            assert cluster.deployment.api.get("/api/health/live").status_code == 200
        wait_until(lambda: "server hangs" in cluster.log("worker"), "the worker notices")
    cluster.wait_until_notified(sid)


def test_the_death_of_a_workers_main_process_leaves_nothing_behind(cluster: Cluster) -> None:
    main = cluster.deployment.children.running["worker"]
    children = children_of(main.pid)
    assert children
    main.kill()
    main.wait()
    wait_until(lambda: not any(_lives(pid) for pid in children), "its children go")
    cluster.query("SELECT 1")
    cluster.deployment.start("worker")


def test_foreign_messages_are_refused_and_the_worker_lives(cluster: Cluster) -> None:
    for task, body, content_type in (
        ("no.such.task", orjson.dumps([[], {}, {}]), "application/json"),
        ("poll", pickle.dumps([[os.system, "true"], {}, {}]), "application/x-python-serialize"),
        ("poll", b"\xff\x00 no json", "application/json"),
        ("poll", orjson.dumps([["x" * 1_000_000] * 3, {"no": 1}, {}]), "application/json"),
        ("deliver", orjson.dumps(None), "application/json"),
    ):
        _publish(cluster, task, body, content_type)
    wait_until(lambda: cluster.valkey.ask("LLEN giftpulse:maintenance") == b":0\r\n", "the messages are taken")
    cluster.deployment.children.check()
    assert "no.such.task" in cluster.log("worker")


def test_a_worker_that_is_asked_to_stop_finishes_what_it_sends(cluster: Cluster) -> None:
    open_attempts = "SELECT count(*) FROM attempts WHERE outcome IN ('started', 'unknown')"
    before = cluster.query(open_attempts)
    cluster.deployment.web.answers = [respond_after(2)]
    sids = [cluster.fail_a_call() for _ in range(6)]
    worker = cluster.deployment.children.running.pop("worker")
    try:
        wait_until(lambda: any(cluster.notification_count(sid) for sid in sids), "something is being sent")
        worker.terminate()
        assert worker.wait(PATIENCE_SECONDS) == 0
        assert cluster.query(open_attempts) == before
    finally:
        cluster.deployment.web.answers = [respond(200)]
        processes.kill_group(worker)
        cluster.deployment.start("worker")
    cluster.wait_until_notified(*sids)
    assert [cluster.notification_count(sid) for sid in sids] == [1] * 6


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _publish(cluster: Cluster, task: str, body: bytes, content_type: str) -> None:
    """Put a message into the broker as another program would, by the protocol of Celery."""
    message = {
        "body": b64encode(body).decode(),
        "content-encoding": "utf-8" if content_type.endswith("json") else "binary",
        "content-type": content_type,
        "headers": {
            "lang": "py",
            "task": task,
            "id": "00000000-0000-0000-0000-000000000000",
            "argsrepr": "",
            "retries": 0,
        },
        "properties": {
            "delivery_info": {"exchange": "maintenance", "routing_key": "maintenance"},
            "delivery_mode": 2,
            "delivery_tag": "00000000-0000-0000-0000-000000000000",
            "body_encoding": "base64",
        },
    }
    text = orjson.dumps(message)
    key = b"giftpulse:maintenance"
    command = b"*3\r\n$5\r\nLPUSH\r\n$%d\r\n%s\r\n$%d\r\n%s" % (len(key), key, len(text), text)
    cluster.valkey.ask(command.decode())
