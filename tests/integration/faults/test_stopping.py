"""A stop, with receivers that are slow: what has begun is finished, nothing more is claimed, no request is lost."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.services.outbox.dispatch import MAX_IN_FLIGHT
from app.tasks.slots import SLOTS
from scripts.local import processes
from tests.kits.deployment import Deployment
from tests.kits.receivers import respond, respond_after, respond_when
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.timeout(600)
SLOW_SECONDS = 14.0
FIRST = MAX_IN_FLIGHT * SLOTS["deliver"]
"""The most that a worker sends at the same time."""


@pytest.fixture
def world(database: str, broker: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(database, broker, tmp_path, settings={"WEBHOOK_TIMEOUT_SECONDS": "100"}) as made:
        yield made


def _query(world: Deployment, sql: str) -> Any:
    connection = psycopg2.connect(world.database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            [(value,)] = cursor.fetchall()
            return value
    finally:
        connection.close()


def test_a_worker_that_stops_finishes_what_it_sends_and_claims_no_more(world: Deployment) -> None:
    world.web.answers = [respond_after(SLOW_SECONDS)]
    world.start()
    world.make(
        "/api/rules", {"name": "Failed", "log_type": "call", "pattern_type": "status", "pattern_value": "failed"}
    )
    actions = FIRST + 20
    for _ in range(actions):
        world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})
    world.simulator.add_call(status="failed")
    wait_until(lambda: len(world.web.requests) >= 1, "the first webhook is under way")

    processes.stop(world.children.running.pop("worker"), seconds=300)

    attempted = _query(world, "SELECT count(*) FROM deliveries WHERE attempt_count > 0")
    assert 0 < attempted <= FIRST
    assert _query(world, "SELECT count(*) FROM attempts WHERE outcome <> 'succeeded'") == 0
    assert len(world.web.requests) == attempted

    world.web.answers = [respond(200)]
    world.start("worker")
    wait_until(lambda: len(world.web.requests) >= actions, "the others go out")
    copies = Counter(request.headers["webhook-id"] for request in world.web.requests)
    assert set(copies.values()) == {1}


def test_an_api_that_stops_answers_the_requests_that_it_took(world: Deployment) -> None:
    world.start("api")
    action = world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})
    answers: list[Any] = []
    go_on = threading.Event()

    def test_action() -> None:
        answers.append(world.api.post(f"/api/actions/{action['id']}/test", timeout=PATIENCE_SECONDS))

    world.web.answers = [respond_when(go_on.is_set)]
    asking = threading.Thread(target=test_action)
    asking.start()
    wait_until(lambda: len(world.web.requests) == 1, "the test is under way")
    process = world.children.running.pop("api")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: processes.port_is_free(world.port), "the API takes no more requests")
    go_on.set()
    asking.join(PATIENCE_SECONDS)
    assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
    [response] = answers
    assert response.status_code == 200
    assert response.json()["deliveries"][0]["status"] == "succeeded"
