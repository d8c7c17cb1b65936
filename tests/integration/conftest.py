"""What stories over a real database share."""

from datetime import timedelta

import pytest

from tests.fakes import START
from tests.feeding import Feed


@pytest.fixture
def feed(database: str) -> Feed:
    """An account that has been watched for ten days, and has no logs."""
    return Feed(START - timedelta(days=10))
