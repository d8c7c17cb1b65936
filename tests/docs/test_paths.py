"""Every path, command and link in the documentation leads to something."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("app", "alembic", "benchmarks", "docs", "scripts", "templates", "tests")


def named() -> Iterator[tuple[str, str]]:
    """Every path that a page names, relative to the repository or to a folder of it."""
    for page in PAGES:
        for path in sorted(set(re.findall(r"`([\w./<>-]+)`", page.read_text()))):
            if path.split("/")[0] in FOLDERS or re.search(r"\.(py|md|toml|example)$", path):
                yield page.name, path


@pytest.mark.parametrize(("page", "path"), [*named()])
def test_a_path_that_a_page_names_exists(page: str, path: str) -> None:
    """`<kind>` and the like stand for any name."""
    pattern = re.sub(r"<\w+>", "*", path)
    assert any(ROOT.glob(pattern)) or any(found for folder in FOLDERS for found in (ROOT / folder).rglob(pattern)), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_it(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_command_runs_exists(page: Path) -> None:
    modules = re.findall(r"python -m ((?:app|benchmarks|scripts|tests)[.\w]*)", page.read_text())
    assert [name for name in modules if not _is_module(name)] == []


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()
