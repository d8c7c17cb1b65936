"""The check of the migrations finds what makes them more than one line."""

from pathlib import Path

import pytest

from scripts.local.check_migrations import FOLDER, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "versions").mkdir()
    return tmp_path


def add(folder: Path, name: str, revision: str, after: str | None) -> None:
    text = f"revision = {revision!r}\ndown_revision = {after!r}\nbranch_labels = None\ndepends_on = None\n"
    (folder / "versions" / f"{name}.py").write_text(text)


def test_our_own_are_one_line() -> None:
    assert problems(FOLDER) == []


def test_two_after_the_same_one_are_found(folder: Path) -> None:
    for name, after in (("0001", None), ("0002", "0001"), ("0003", "0001")):
        add(folder, f"{name}_change", name, after)
    [problem] = problems(folder)
    assert "0002, 0003" in problem


def test_a_revision_that_is_missing_is_found(folder: Path) -> None:
    add(folder, "0001_change", "0001", None)
    add(folder, "0003_change", "0003", "0002")
    [problem] = problems(folder)
    assert "0002" in problem


def test_a_revision_that_is_there_twice_is_found(folder: Path) -> None:
    add(folder, "0001_change", "0001", None)
    add(folder, "0001_other", "0001", None)
    [problem] = problems(folder)
    assert "0001" in problem


def test_a_file_with_the_number_of_another_is_found(folder: Path) -> None:
    add(folder, "0001_change", "0001", None)
    add(folder, "0003_change", "0002", "0001")
    [problem] = problems(folder)
    assert "0003_change.py: is revision 0002" in problem
