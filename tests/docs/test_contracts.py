"""Every module in the import contracts exists."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def _modules(value: object) -> set[str]:
    if isinstance(value, str):
        return {name for name in re.findall(r"[\w.*]+", value) if name.startswith(("app.", "scripts."))}
    if isinstance(value, dict):
        return set().union(*map(_modules, value.values()))
    return set().union(*map(_modules, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("module", sorted(_modules(CONTRACTS)))
def test_a_module_that_a_contract_names_exists(module: str) -> None:
    path = module.replace(".", "/")
    assert any(ROOT.glob(f"{path}.py")) or any(ROOT.glob(path))
