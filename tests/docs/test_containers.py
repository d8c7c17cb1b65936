"""The Dockerfile and docker-compose.yml say what the contract says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import environment

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = ("api", "celery-worker", "celery-beat", "migrate")
RUNNING = OURS[:3]


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("api", "uvicorn app.api.main:app --host 0.0.0.0 --port 8000"),
        ("celery-worker", "celery -A app.tasks.celery_app worker --loglevel=info"),
        ("celery-beat", "celery -A app.tasks.celery_app beat --loglevel=info"),
        ("migrate", "alembic upgrade head"),
    ],
)
def test_each_process_starts_as_the_contract_says(service: str, command: str) -> None:
    assert SERVICES[service]["command"] == command


def test_the_image_needs_no_buildkit() -> None:
    """docker-compose 1.29 and Docker without buildx build without it."""
    assert not re.search(r"^# syntax=|--mount|--chmod|--link|<<", DOCKERFILE, re.MULTILINE)


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


def test_the_health_checks_look_at_the_file_that_the_processes_touch() -> None:
    path = COMPOSE["x-giftpulse"]["environment"]["LIVENESS_PATH"]
    for name in ("celery-worker", "celery-beat"):
        assert SERVICES[name]["environment"]["LIVENESS_PATH"] == path
        assert f"find {path} " in SERVICES[name]["healthcheck"]["test"][1]
    folder = next(entry for entry in SERVICES["celery-worker"]["tmpfs"] if entry.startswith(str(Path(path).parent)))
    assert folder.endswith(":uid=10001,mode=0700"), "nobody but our user writes there"


def test_our_processes_wait_for_the_schema_and_cannot_write_outside_tmp() -> None:
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert [entry.partition(":")[0] for entry in SERVICES[name]["tmpfs"]] == ["/tmp", "/run/giftpulse"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    for name in RUNNING:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_a_stop_waits_longer_than_the_longest_attempt_of_any_setting() -> None:
    from app.actions.apprise import STARTUP_SECONDS
    from app.actions.smtp import ATTEMPT_SECONDS
    from app.config import Settings

    [most] = [limit.le for limit in Settings.model_fields["webhook_timeout_seconds"].metadata if hasattr(limit, "le")]
    longest = max(most + STARTUP_SECONDS, ATTEMPT_SECONDS)
    for name in OURS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= longest + 10, name


def test_persistent_data_is_on_volumes() -> None:
    assert set(COMPOSE["volumes"]) == {"postgres", "redis"}
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]


def test_the_broker_keeps_what_it_took_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass ${REDIS_PASSWORD:-}" in command


VARIABLES: list[dict[str, str]] = [
    {},
    {"POSTGRES_PASSWORD": "one", "REDIS_PASSWORD": "two"},
    {"DATABASE_URL": "postgresql://a:b@c/d", "REDIS_URL": "rediss://e/1"},
    {"DATABASE_URL": "", "REDIS_URL": "", "POSTGRES_PASSWORD": ""},
]
KEYS = {"API_KEY": "sixteen-characters-or-more", "SECRET_KEY": "sixteen-characters-or-more"}


def _flat(text: str, given: dict[str, str]) -> str:
    """Fill in as docker-compose 1.29 does: an expression ends at the first closing brace."""

    def fill(found: re.Match[str]) -> str:
        name, separator, rest = re.fullmatch(r"([A-Z_]+)(?:(:?[-?])(.*))?", found[1]).groups()  # type: ignore[union-attr]
        value = given.get(name)
        if value or (value is not None and not (separator or "").startswith(":")):
            return value
        assert not (separator or "").endswith("?"), f"{name} is asked for"
        return rest or ""

    return re.sub(r"\$\{([^}]*)\}", fill, text)


def _nested(text: str, given: dict[str, str]) -> str:
    """Fill in as Docker Compose 2 does: the innermost expression first."""
    while (filled := re.sub(r"\$\{[^${}]*\}", lambda found: _flat(found[0], given), text)) != text:
        text = filled
    return text


FILES = {"API_KEY_FILE": "/run/secrets/api_key", "SECRET_KEY_FILE": "/run/secrets/secret_key"}


def _blocks(language: str) -> list[str]:
    """List the examples of the chapter about secrets in files."""
    chapter = (ROOT / "docs/operations.md").read_text().partition("## Secrets in files")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", chapter, re.DOTALL)


@pytest.mark.parametrize("fill", [_flat, _nested])
@pytest.mark.parametrize("given", [KEYS, FILES, FILES | {"API_KEY": "", "SECRET_KEY": ""}, KEYS | {"API_KEY_FILE": ""}])
def test_keys_are_read_from_their_variables_or_from_files(
    tmp_path: Path, fill: Callable[[str, dict[str, str]], str], given: dict[str, str]
) -> None:
    compose = yaml.safe_load(fill((ROOT / "docker-compose.yml").read_text(), given))
    for service in OURS:
        variables = dict(compose["services"][service]["environment"])
        for name, path in FILES.items():
            if variables[name] == path:
                variables[name] = str(tmp_path / Path(path).name)
                Path(variables[name]).write_text(KEYS["API_KEY"] + "\n")
        assert environment.read([*KEYS], [*KEYS], None, variables).values == KEYS, service


def test_the_override_file_of_the_documentation_gives_every_process_the_files() -> None:
    [override] = map(yaml.safe_load, _blocks("yaml"))
    [env] = _blocks("ini")
    assert dict(line.split("=") for line in env.splitlines()) == FILES
    names = {Path(path).name for path in FILES.values()}
    assert set(override["secrets"]) == names
    assert {name: set(service["secrets"]) for name, service in override["services"].items()} == dict.fromkeys(
        OURS, names
    )


@pytest.mark.parametrize("given", VARIABLES, ids=lambda given: ",".join(given) or "nothing")
def test_old_and_new_versions_of_compose_read_the_same(given: dict[str, str]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    flat = yaml.safe_load(_flat(text, KEYS | given))
    assert flat == yaml.safe_load(_nested(text, KEYS | given))
    variables = flat["services"]["api"]["environment"]
    assert variables["DATABASE_URL"] == (given.get("DATABASE_URL") or "postgresql://giftpulse@postgres:5432/giftpulse")
    assert variables["PGPASSWORD"] == flat["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert variables["REDIS_URL"] == (given.get("REDIS_URL") or "redis://redis:6379/0")


def test_a_default_within_a_default_would_be_noticed() -> None:
    assert _flat("${A:-x${B:-y}z}", {}) != _nested("${A:-x${B:-y}z}", {}) == "xyz"


def test_the_image_runs_as_a_user_without_rights() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]


def test_the_image_is_built_in_stages_and_requirements_come_before_the_code() -> None:
    assert DOCKERFILE.count("FROM ") == 2
    assert DOCKERFILE.index("COPY requirements-run.txt") < DOCKERFILE.index("COPY app app")


def test_everything_that_the_image_copies_is_let_through_and_exists() -> None:
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert f"!{source}" in let_through
        assert (ROOT / source).exists(), source
