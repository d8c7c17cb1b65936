"""The simulator's page names everything that it can be told."""

import re
from pathlib import Path

import pytest

from scripts.twilio_simulator import FaultKind
from scripts.twilio_simulator.control import ROUTES
from scripts.twilio_simulator.scenarios import SCENARIOS

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


@pytest.mark.parametrize("name", [*SCENARIOS, *FaultKind])
def test_every_scenario_and_fault_is_described(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ROUTES])
def test_every_call_of_the_control_api_is_described(method: str, path: str) -> None:
    known = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", path).replace("{scenario}", "{name}")
    assert re.search(rf"`(?:[A-Z]+ )*{method} (?:[A-Z]+ )*{re.escape(known)}`", PAGE), f"{method} {known}"
