"""Settings and servers for what is sent."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from app.config import Settings, get_settings

Configure = Callable[..., Callable[[], Settings]]


@pytest.fixture
def configure(settings: Settings) -> Configure:
    """Make settings that may reach this machine, with some changes."""

    def make(**changes: Any) -> Callable[[], Settings]:
        plain: dict[str, Any] = {
            "webhook_allowed_networks": (ip_network("127.0.0.0/8"),),
            "webhook_timeout_seconds": 60,
        }
        changed = get_settings().model_copy(update=plain | changes)
        return lambda: changed

    return make
