"""The main story once more, through a pooler in transaction mode."""

from collections.abc import Iterator

import pytest

from scripts.local.valkey import Valkey
from tests.acceptance.test_main_story import (  # noqa: F401  # they run here with the `deployment` below
    number,
    running,
    story,
    test_a_failed_call_becomes_an_alert_a_mail_and_a_signed_webhook,
    test_it_continues_where_it_stopped,
)
from tests.kits.databases import Databases
from tests.kits.deployment import Deployment
from tests.kits.pgbouncer import PgBouncer


@pytest.fixture(scope="module")
def deployment(
    databases: Databases, pgbouncer: PgBouncer, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A world that reaches its database through PgBouncer."""
    valkey.ask("FLUSHALL")
    with databases.lend() as direct:
        pooled = pgbouncer.url(direct.rpartition("/")[2])
        with Deployment(pooled, valkey.url(), tmp_path_factory.mktemp("pooled")) as made:
            yield made
