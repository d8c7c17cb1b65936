"""What `/metrics` says before anything happened, while nothing can be looked at, and what the advised alarms need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from app.database import session_scope
from scripts.local.processes import free_port
from tests.conftest import forget
from tests.integration.api.conftest import RULE, Api, make_app

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def read(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read Prometheus' text format: each sample's value by its name and labels."""
    families = text_string_to_metric_families(page)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def value(page: str, name: str, **labels: str) -> float:
    return read(page)[name, frozenset(labels.items())]


async def test_counters_are_0_before_anything_happened(api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    page = (await api.get("/metrics")).text
    for name, labels in (
        ("giftpulse_logs_ingested_total", {"log_type": "call", "source": "poll"}),
        ("giftpulse_logs_changed_total", {"log_type": "message"}),
        ("giftpulse_rule_matches_total", {"rule_id": rule["id"]}),
        ("giftpulse_alerts_total", {"severity": "critical", "event": "fired"}),
        ("giftpulse_deliveries_total", {"action_type": "email", "outcome": "failed"}),
        ("giftpulse_poll_errors_total", {"log_type": "error", "reason": "refused"}),
        ("giftpulse_poll_duration_seconds_count", {"log_type": "call"}),
        ("giftpulse_delivery_duration_seconds_count", {}),
    ):
        assert value(page, name, **labels) == 0, name


async def test_the_components_that_work_are_up(broker: str, api: Api) -> None:
    with session_scope() as session:
        session.execute(
            text(
                "INSERT INTO heartbeats (name, seen_at)"
                " VALUES ('worker', now()), ('beat', now() - interval '5 minutes')"
            )
        )
    page = (await api.get("/metrics")).text
    up = {name: value(page, "giftpulse_up", component=name) for name in ("database", "broker", "worker", "beat")}
    assert up == {"database": 1, "broker": 1, "worker": 1, "beat": 0}


async def test_without_a_database_nothing_is_up_and_nothing_is_made_up(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    environment.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    forget()
    async with Api(make_app(), key=None) as api:
        answer = await api.get("/metrics")
    assert answer.status_code == 200
    for component in ("database", "broker", "worker", "beat"):
        assert value(answer.text, "giftpulse_up", component=component) == 0
    assert "giftpulse_poll_lag_seconds{" not in answer.text
    assert "giftpulse_logs_ingested_total{" not in answer.text


def alarms() -> list[dict[str, Any]]:
    [block] = re.findall(r"```yaml\n(groups:.*?)```", OPERATIONS.read_text(), re.DOTALL)
    [group] = yaml.safe_load(block)["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


async def test_the_advised_alarms_ask_for_metrics_that_exist(api: Api) -> None:
    page = (await api.get("/metrics")).text
    for rule in alarms():
        for name in re.findall(r"giftpulse_\w+", rule["expr"]):
            assert f"# TYPE {name.removesuffix('_total')}" in page, rule["alert"]


async def test_the_advised_alarm_about_lag_goes_by_the_interval(api: Api) -> None:
    page = (await api.get("/metrics")).text
    assert value(page, "giftpulse_poll_interval_seconds") == 300
    [lag] = [rule["expr"] for rule in alarms() if "giftpulse_poll_lag_seconds >" in rule["expr"]]
    spare, intervals = map(int, re.findall(r"> (\d+) \+ (\d+) \* scalar", lag)[0])
    # A stream's lag is 60 seconds after a good poll, and one interval more before the next.
    for interval in (1, 5, 300, 3600):
        assert spare + intervals * interval > 60 + interval + 30
