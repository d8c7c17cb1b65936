"""What stories over a real database share."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from scripts.twilio_simulator.server import SimulatorServer
from scripts.twilio_simulator.simulator import Simulator
from tests.conftest import forget
from tests.fakes import START
from tests.feeding import Feed


@pytest.fixture
def feed(database: str) -> Feed:
    """An account that has been watched for ten days, and has no logs."""
    return Feed(START - timedelta(days=10))


@pytest.fixture
def simulator(environment: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulated Twilio, where the settings look for calls and messages."""
    found = Simulator()
    with SimulatorServer(found) as server:
        environment.setenv("TWILIO_API_BASE_URL", server.url)
        forget()
        yield found
