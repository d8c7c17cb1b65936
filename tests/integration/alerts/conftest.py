"""What stories about alerts share."""

from uuid import UUID

import pytest

from tests.integration.alerts.stories import make_action


@pytest.fixture
def action(database: str) -> UUID:
    """A webhook that every alert notifies."""
    return make_action()
