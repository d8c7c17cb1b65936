"""What a callback makes of a stored log, whatever time it claims."""

import json
from datetime import UTC, datetime, timedelta

import msgspec

from app.enums import LogType
from app.services.ingest.normalize import normalize
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import pushed

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
CREATED = NOW - timedelta(minutes=5)
CALL = {"sid": "CA" + "1" * 32, "status": "in-progress", "date_created": "Tue, 03 Mar 2026 09:55:00 +0000"}


def a_call() -> NormalizedLog:
    return normalize(LogType.CALL, msgspec.Raw(json.dumps(CALL).encode()), 1, NOW)


def changed_at(at: datetime | None, status: str = "completed") -> datetime:
    told = pushed(a_call(), status, None, at, NOW)
    assert told is not None
    return told.changed_at


def test_a_callback_changes_a_log_when_it_says_so() -> None:
    assert changed_at(NOW - timedelta(minutes=1)) == NOW - timedelta(minutes=1)


def test_without_a_time_or_with_one_of_next_year_its_arrival_counts() -> None:
    assert changed_at(None) == NOW
    assert changed_at(NOW + timedelta(days=365)) == NOW


def test_no_callback_changes_a_log_before_it_was_created() -> None:
    assert changed_at(CREATED - timedelta(days=365)) == CREATED
    assert pushed(a_call(), "in-progress", None, CREATED - timedelta(days=365), NOW) is None
