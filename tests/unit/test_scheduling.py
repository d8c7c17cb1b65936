"""Files whose tests share processes are run by one worker, every other test by whoever is free."""

from pathlib import Path

from tests.kits.scheduling import IN_ONE_GO, scope_of

ROOT = Path(__file__).parent.parent.parent
LIVING = "tests/integration/faults/test_living.py"


def test_the_tests_of_one_city_stay_together_and_others_go_where_there_is_room() -> None:
    assert scope_of(f"{LIVING}::test_a[fast]") == scope_of(f"{LIVING}::test_b") == LIVING
    assert scope_of("tests/unit/test_config.py::test_a") != scope_of("tests/unit/test_config.py::test_b")


def test_every_file_that_runs_in_one_go_is_there() -> None:
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    assert all(any(file.endswith(name) for file in files) for name in IN_ONE_GO)
