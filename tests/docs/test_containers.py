"""The Dockerfile and docker-compose.yml say what the contract says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = ("api", "worker", "beat", "migrate")


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("api", "uvicorn app.api.main:app --host 0.0.0.0 --port 8000"),
        ("worker", "celery -A app.tasks.celery_app worker --loglevel=info"),
        ("beat", "celery -A app.tasks.celery_app beat --loglevel=info"),
        ("migrate", "alembic upgrade head"),
    ],
)
def test_each_process_starts_as_the_contract_says(service: str, command: str) -> None:
    assert SERVICES[service]["command"] == command


def test_there_are_no_other_services() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "redis"}


def test_nothing_is_published_but_the_api_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8000:8000"]}


def test_everything_that_runs_on_has_a_health_check_and_is_restarted() -> None:
    for name, service in SERVICES.items():
        if name != "migrate":
            assert "healthcheck" in service, name
            assert service["restart"] == "unless-stopped", name


def test_the_health_checks_look_at_the_files_that_the_processes_touch() -> None:
    from app.tasks.celery_app import alive_file

    for kind in ("worker", "beat"):
        assert f"/tmp/{alive_file(kind).name} " in SERVICES[kind]["healthcheck"]["test"][1]


def test_our_processes_wait_for_the_schema_and_cannot_write_outside_tmp() -> None:
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["tmpfs"] == ["/tmp"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    for name in ("api", "worker", "beat"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_what_must_last_is_on_volumes() -> None:
    assert set(COMPOSE["volumes"]) == {"postgres", "redis"}
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]


def test_the_broker_keeps_what_it_took_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass" in command


def test_the_image_runs_as_a_user_without_rights() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]


def test_the_image_is_built_in_stages_and_requirements_come_before_the_code() -> None:
    assert DOCKERFILE.count("FROM ") == 2
    assert DOCKERFILE.index("COPY requirements.txt") < DOCKERFILE.index("COPY app app")


def test_everything_that_the_image_copies_is_let_through_and_exists() -> None:
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert f"!{source}" in let_through
        assert (ROOT / source).exists(), source
