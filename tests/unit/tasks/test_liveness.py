"""The file that a health check looks at."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.config import Settings
from app.tasks.liveness import LivenessFile


def test_the_file_is_touched_where_the_setting_says(tmp_path: Path) -> None:
    LivenessFile(tmp_path / "alive").touch()
    assert (tmp_path / "alive").exists()


def test_without_the_setting_no_file_is_written_anywhere(settings: Settings, tmp_path: Path) -> None:
    assert settings.liveness_path is None
    LivenessFile(None).touch()


def test_a_file_that_cannot_be_touched_is_logged_once_and_stops_nothing(tmp_path: Path) -> None:
    file = LivenessFile(tmp_path / "missing" / "alive")
    with capture_logs() as logs:
        file.touch()
        file.touch()
    assert [(line["log_level"], "LIVENESS_PATH" in line["event"]) for line in logs] == [("error", True)]
    (tmp_path / "missing").mkdir()
    file.touch()
    assert (tmp_path / "missing" / "alive").exists()


@pytest.mark.parametrize("folder", ["app", "scripts", "docker-compose.yml", "Dockerfile"])
def test_no_fixed_name_lies_in_a_folder_that_everybody_may_write_to(folder: str) -> None:
    root = Path(__file__).parents[3]
    files = [root / folder] if (root / folder).is_file() else [*(root / folder).rglob("*.py")]
    assert [file for file in files if "/tmp/" in file.read_text() or "gettempdir" in file.read_text()] == []
