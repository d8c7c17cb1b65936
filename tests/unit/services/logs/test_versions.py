"""What a callback makes of a stored log, whatever time it claims."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from app.enums import LogType
from app.services.ingest.normalize import normalize
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import apply_status_push, merge

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
CREATED = NOW - timedelta(minutes=5)
CALL = {"sid": "CA" + "1" * 32, "status": "in-progress", "date_created": "Tue, 03 Mar 2026 09:55:00 +0000"}


def a_call() -> NormalizedLog:
    return normalize(LogType.CALL, msgspec.Raw(json.dumps(CALL).encode()), 1, NOW)


def changed_at(at: datetime | None, status: str = "completed") -> datetime:
    updated = apply_status_push(a_call(), status, None, at, NOW)
    assert updated is not None
    return updated.changed_at


def test_a_callback_changes_a_log_when_it_says_so() -> None:
    assert changed_at(NOW - timedelta(minutes=1)) == NOW - timedelta(minutes=1)


def test_without_a_time_or_with_one_of_next_year_its_arrival_counts() -> None:
    assert changed_at(None) == NOW
    assert changed_at(NOW + timedelta(days=365)) == NOW


def test_no_callback_changes_a_log_before_it_was_created() -> None:
    assert changed_at(CREATED - timedelta(days=365)) == CREATED
    assert apply_status_push(a_call(), "in-progress", None, CREATED - timedelta(days=365), NOW) is None


def a_message(**changes: object) -> NormalizedLog:
    record = {
        "sid": "SM" + "1" * 32,
        "status": "sent",
        "date_created": "Tue, 03 Mar 2026 09:50:00 +0000",
        "date_sent": "Tue, 03 Mar 2026 09:50:01 +0000",
        "date_updated": "Tue, 03 Mar 2026 09:50:02 +0000",
    }
    return normalize(LogType.MESSAGE, msgspec.Raw(json.dumps(record | changes).encode()), 1, NOW)


@pytest.mark.parametrize("date_updated", [None, "", "soon", 7, "Tue, 03 Mar 2099 09:50:02 +0000"])
def test_a_failure_whose_date_cannot_be_read_is_a_change_all_the_same(date_updated: object) -> None:
    after = merge(a_message(), a_message(status="undelivered", error_code=30003, date_updated=date_updated))
    assert (after.status, after.error_code, after.final) == ("undelivered", 30003, True)
    assert after.changed_at == NOW, "it counts as its arrival"
    assert after.undated_at is None


@pytest.mark.parametrize("status", ["queued", "accepted"])
def test_without_a_date_no_status_goes_back(status: str) -> None:
    assert merge(a_message(), a_message(status=status, date_updated="soon")) == a_message()


def test_without_a_date_the_same_state_stays_where_it_was() -> None:
    after = merge(a_message(), a_message(date_updated="soon", price="-0.0075"))
    assert (after.changed_at, after.price) == (a_message().changed_at, Decimal("-0.0075"))


def test_a_date_that_can_be_read_again_is_the_order_again() -> None:
    odd = merge(a_message(), a_message(status="undelivered", date_updated="soon"))
    after = merge(odd, a_message(status="undelivered", date_updated="Tue, 03 Mar 2026 09:55:00 +0000"))
    assert after.changed_at == NOW - timedelta(minutes=5)
