"""The main story once more, through a pooler in transaction mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_main_story import (  # noqa: F401  # they run here with the `world` below
    test_a_failed_call_becomes_an_alert_a_mail_and_a_signed_webhook,
    test_it_goes_on_where_it_stopped,
)
from tests.kits.deployment import Deployment


@pytest.fixture
def deployment(pooled: str, broker: str, tmp_path: Path) -> Iterator[Deployment]:
    """A world that reaches its database through PgBouncer."""
    with Deployment(pooled, broker, tmp_path) as made:
        yield made
