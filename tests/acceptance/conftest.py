"""A world for each story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.world import World


@pytest.fixture
def world(database: str, broker: str, tmp_path: Path) -> Iterator[World]:
    """A world whose processes are not started yet."""
    with World(database, broker, tmp_path) as made:
        yield made
