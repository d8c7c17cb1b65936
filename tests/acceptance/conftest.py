"""A world for the stories of a module: to start its processes costs more than all that the stories do."""

from collections.abc import Iterator

import pytest

from scripts.local.valkey import Valkey
from tests.kits.databases import Databases
from tests.kits.deployment import Deployment


@pytest.fixture(scope="module")
def deployment(databases: Databases, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A world whose processes are not started yet."""
    valkey.ask("FLUSHALL")
    with databases.lend() as url, Deployment(url, valkey.url(), tmp_path_factory.mktemp("world")) as made:
        yield made
