"""When a message became final is known only where its reads were near enough to tell."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from app.services.logs.types import NormalizedLog, Stored
from app.services.logs.versions import first_final_at, next_final_at
from tests.fakes import START
from tests.feeding import log

MINUTE = timedelta(minutes=1)
POLL_INTERVAL = 5 * MINUTE


def message(status: str, changed_after: timedelta = timedelta(seconds=3), **fields: Any) -> NormalizedLog:
    return log(1, START, status=status, changed_at=START + changed_after, **fields)


def stored(before: NormalizedLog, first_seen: timedelta, read: timedelta, final: timedelta | None = None) -> Stored:
    return Stored(1, before, START + first_seen, START + read, None if final is None else START + final)


@pytest.mark.parametrize(
    ("status", "read_after", "is_known"),
    [("delivered", 10 * MINUTE, True), ("delivered", 11 * MINUTE, False), ("sent", MINUTE, False)],
)
def test_a_message_that_is_read_soon_tells_when_it_became_final(
    status: str, read_after: timedelta, is_known: bool
) -> None:
    found = first_final_at(message(status), START + read_after)
    assert found == (START + timedelta(seconds=3) if is_known else None)


def test_calls_and_errors_have_no_such_time() -> None:
    assert first_final_at(log(1, START, log_type="call", status="completed"), START) is None
    assert first_final_at(log(1, START, log_type="error"), START) is None


@pytest.mark.parametrize(
    ("first_seen", "read", "now", "is_known"),
    [
        (MINUTE, MINUTE, 11 * MINUTE, True),
        (MINUTE, MINUTE, 2 * 24 * 60 * MINUTE, False),
        (MINUTE, 300 * MINUTE, 400 * MINUTE, True),
        (MINUTE, 300 * MINUTE, 601 * MINUTE, False),
        (11 * MINUTE, 11 * MINUTE, 12 * MINUTE, False),
    ],
    ids=["next poll", "outage", "reread", "missed reread", "first read late"],
)
def test_a_change_that_is_seen_in_time_tells_when_it_became_final(
    first_seen: timedelta, read: timedelta, now: timedelta, is_known: bool
) -> None:
    after = message("delivered", now - timedelta(seconds=30))
    found = next_final_at(stored(message("sent"), first_seen, read), after, START + now, POLL_INTERVAL)
    assert found == (after.changed_at if is_known else None)


def test_rare_polls_are_in_time_by_their_own_measure() -> None:
    before, after = stored(message("sent"), MINUTE, MINUTE), message("delivered", 30 * MINUTE)
    assert next_final_at(before, after, START + 61 * MINUTE, 30 * MINUTE) == after.changed_at
    assert next_final_at(before, after, START + 62 * MINUTE, 30 * MINUTE) is None


@pytest.mark.parametrize(("first_seen", "is_known"), [(MINUTE, True), (11 * MINUTE, False)])
def test_a_callback_tells_whenever_the_last_read_was(first_seen: timedelta, is_known: bool) -> None:
    day = timedelta(days=1)
    after = msgspec.structs.replace(message("delivered", day), pushed_at=START + day)
    found = next_final_at(stored(message("sent"), first_seen, first_seen), after, START + day, POLL_INTERVAL)
    assert found == (after.changed_at if is_known else None)


def test_later_logs_do_not_extend_the_span() -> None:
    before = stored(message("delivered", 9 * MINUTE), MINUTE, MINUTE, 9 * MINUTE)
    read = message("read", timedelta(hours=3))
    for after in (read, message("delivered", timedelta(hours=3))):
        assert next_final_at(before, after, START + timedelta(hours=3), POLL_INTERVAL) == START + 9 * MINUTE
    earlier = message("delivered", 8 * MINUTE)
    assert next_final_at(before, earlier, START + timedelta(hours=3), POLL_INTERVAL) == START + 8 * MINUTE
    unknown = stored(message("delivered"), 11 * MINUTE, 11 * MINUTE)
    assert next_final_at(unknown, read, START + timedelta(hours=3), POLL_INTERVAL) is None
