"""What docs/operations.md says of queues and leases is so."""

import re
from datetime import timedelta
from pathlib import Path

from app.config import Settings
from app.enums import ActionType
from app.services.ingest import streams
from app.services.outbox.claim import lease_of

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_all_queues_are_named() -> None:
    from app.tasks.celery_app import QUEUES  # the module reads the settings

    [sentence] = re.findall(r"`--queues=([^;]+);", PAGE)
    assert set(re.findall(r"\w+", sentence)) - {"or"} == set(QUEUES)


def test_leases_end_after_the_time_that_is_named(settings: Settings) -> None:
    rows = dict(re.findall(r"^\| (\w+) \| (.+ seconds) \|$", PAGE.partition("| lease |")[2], re.MULTILINE))
    seconds = {
        name: sum(
            settings.webhook_timeout_seconds if term == "`WEBHOOK_TIMEOUT_SECONDS`" else int(term.split()[0])
            for term in text.split(" + ")
        )
        for name, text in rows.items()
    }
    leases = {"poll": streams.LEASE} | {str(kind): lease_of(kind) for kind in ActionType}
    assert {name: timedelta(seconds=value) for name, value in seconds.items()} == leases
