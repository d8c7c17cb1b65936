"""A world of a test's own: a database, a simulated Twilio, and a clock."""

from collections.abc import Iterator

import pytest

from app import wake
from tests.conftest import forget
from tests.integration.ingest.world import World, a_world


@pytest.fixture
def world(database: str, environment: pytest.MonkeyPatch) -> Iterator[World]:
    environment.setattr(wake, "evaluate", lambda: None)
    with a_world(environment, forget) as made:
        yield made
