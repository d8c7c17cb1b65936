"""Previews are kept by all that they depend on."""

from typing import Any

import pytest

from app.api.console import rule_form
from app.api.console.rule_preview import PreviewCache
from app.config import Settings

OTHER_VALUES: dict[str, Any] = {
    "log_type": "call",
    "filters": {"to": ["+447700900123"]},
    "pattern_type": "any",
    "pattern_value": "30003",
    "condition": {"type": "no_data", "window_minutes": 30},
    "group_by": ["to"],
    "schedule": {"start": "08:00", "end": "18:00", "timezone": "UTC", "days": []},
    "severity": "critical",
    "depends_on": ["6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"],
    "resolve_after_minutes": 7,
    "id": "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The rules that were run."""
    found: list[object] = []

    def run(body: object, *_rest: object) -> dict[str, int]:
        found.append(body)
        return {"alerts": 0}

    monkeypatch.setattr("app.api.console.rule_preview._run", run)
    return found


def test_editing_a_relevant_field_requests_a_new_preview(asked: list[object], settings: Settings) -> None:
    cache, body = PreviewCache(), rule_form.to_body(rule_form.from_body({}))
    cache.get(body, "24h", settings)
    for number, (name, value) in enumerate(OTHER_VALUES.items(), 2):
        cache.get(body | {name: value}, "24h", settings)
        assert len(asked) == number, name


def test_editing_name_and_description_does_not_restart(asked: list[object], settings: Settings) -> None:
    cache, body = PreviewCache(), rule_form.to_body(rule_form.from_body({}))
    cache.get(body, "24h", settings)
    cache.get(body | {"name": "Another", "description": "Longer"}, "24h", settings)
    assert len(asked) == 1
