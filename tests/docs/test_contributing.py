"""Every path in CONTRIBUTING.md and every module in the import contracts exists."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
FOLDERS = ("app", "alembic", "benchmarks", "docs", "scripts", "templates", "tests")


@pytest.mark.parametrize(
    "path",
    sorted(
        {
            path
            for path in re.findall(r"`([\w./<>-]+)`", PAGE)
            if path.split("/")[0] in FOLDERS or re.search(r"\.(py|md|toml|example)$", path)
        }
    ),
)
def test_a_path_that_the_page_names_exists(path: str) -> None:
    """`<kind>` and the like stand for any name."""
    assert any(ROOT.glob(re.sub(r"<\w+>", "*", path)))


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
