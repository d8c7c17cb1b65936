"""One version, wherever it shows: `app.__version__`."""

import re
import subprocess
import sys
from pathlib import Path

from app import __version__
from tests.integration.api.conftest import make_app

ROOT = Path(__file__).parents[2]


def test_the_openapi_document_has_the_version() -> None:
    assert make_app().openapi()["info"]["version"] == __version__


def test_the_image_is_labelled_with_the_version() -> None:
    labels = re.findall(r"org\.opencontainers\.image\.version=(\S+)", (ROOT / "Dockerfile").read_text())
    assert labels == [__version__]


def test_the_command_line_tells_its_version_whatever_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "--version"],
        cwd=ROOT,
        env={"POLL_INTERVAL_SECONDS": "soon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"GiftPulse {__version__}\n", "")


def test_no_other_version_is_written_down() -> None:
    sources = [path for folder in ("app", "scripts") for path in (ROOT / folder).rglob("*.py")]
    written = [
        path for path in sources if re.search(r"^\w*VERSION\w* = \"\d+\.\d+\.\d+\"", path.read_text(), re.MULTILINE)
    ]
    assert written == []
