"""A client that is generated from the OpenAPI document works as it is."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import API_KEY
from tests.integration.api.conftest import RULE, make_app
from tests.integration.api.serving import serving

CONFIG = """post_hooks: []
content_type_overrides:
  application/yaml: application/octet-stream
"""
PACKAGE = "generated_giftpulse_client"


@pytest.fixture
def client(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A generated client, and a server that it calls."""
    app = make_app()
    (tmp_path / "openapi.json").write_text(json.dumps(app.openapi()))
    (tmp_path / "config.yaml").write_text(CONFIG)
    command = ["-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    paths = ["--path", "openapi.json", "--output-path", PACKAGE, "--config", "config.yaml"]
    done = subprocess.run([sys.executable, *command, *paths], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    with serving(app) as address:
        made = part("client").AuthenticatedClient(address, API_KEY, auth_header_name="X-API-Key", prefix="")
        with made:
            yield made
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def part(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.mark.timeout(240)
def test_a_generated_client_works_without_a_line_of_ours(client: Any) -> None:
    body = part("models").RuleBody.from_dict(RULE)
    made = part("api.rules.create_rule").sync(client=client, body=body, idempotency_key="one")
    assert made == part("api.rules.create_rule").sync(client=client, body=body, idempotency_key="one")
    assert [rule.id for rule in part("api.rules.list_rules").sync(client=client).items] == [made.id]
    patch = part("models").RulePatch.from_dict({"severity": "critical"})
    edited = part("api.rules.edit_rule").sync(made.id, client=client, body=patch)
    assert (edited.severity.value, edited.name) == ("critical", made.name)
    refused = part("api.logs.list_logs").sync(client=client, status="NOT A STATUS")
    assert [(error.field, refused.status) for error in refused.errors] == [("status", 422)]
    assert part("api.logs.list_logs").sync(client=client, log_type="call,message", limit=5).items == []
    assert part("api.health.get_health").sync(client=client).checks.database.status.value == "ok"
    assert (
        part("api.export_and_import.export_configuration")
        .sync_detailed(client=client)
        .content.startswith(b"version: 1")
    )
    assert part("api.rules.delete_rule").sync_detailed(made.id, client=client).status_code == 204
