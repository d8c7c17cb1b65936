"""Error codes that occurred and that no enabled rule would match."""

from typing import Any

import pytest

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.services import rule_admin, unwatched
from app.services.unwatched import UnwatchedCode, find_unwatched
from tests.fakes import minutes
from tests.feeding import Feed, log
from tests.integration.alerts.stories import make_rule


def found(since: float = 0, until: float = 60) -> list[UnwatchedCode]:
    with session_scope() as session:
        return find_unwatched(session, minutes(since), minutes(until))


def codes(**span: float) -> list[tuple[int, str, int]]:
    return [(item.error_code, item.log_type, item.count) for item in found(**span)]


def store(feed: Feed, first: int, code: int | None, count: int, **fields: Any) -> None:
    feed.store(
        [log(first + number, minutes(number), error_code=code, **fields) for number in range(count)], minutes(59)
    )


def test_codes_that_no_rule_matches_are_listed_the_most_frequent_first(feed: Feed) -> None:
    store(feed, 1, 30003, 3)
    store(feed, 100, 30005, 2)
    store(feed, 200, 30007, 5)
    store(feed, 300, None, 9, status="delivered")
    store(feed, 400, 30005, 1, log_type="error")
    make_rule(pattern_type="error_code", pattern_value="30000-30004")
    assert codes() == [(30007, "message", 5), (30005, "message", 2)]
    (first, *_) = found()
    assert (first.last_at, first.pack) == (minutes(4), "carrier_filtering")


def test_a_code_is_watched_if_a_rule_matches_any_log_that_has_it(feed: Feed) -> None:
    store(feed, 1, 30003, 2)
    store(feed, 100, 30003, 1, from_="+14155550199", text="please STOP")
    store(feed, 200, 30003, 1, log_type="error")
    rule_id = make_rule(pattern_type="keyword", pattern_value="stop", filters={"from": ["+14155550199"]})
    assert codes() == []
    with session_scope() as session:
        rule_admin.patch(session, rule_id, {"enabled": False}, get_settings(), minutes(1))
    assert codes() == [(30003, "message", 3)]


def test_a_call_and_the_entry_it_takes_its_code_from_count_once(feed: Feed) -> None:
    store(feed, 1, 13224, 4, log_type="error")
    store(feed, 100, 13224, 4, log_type="call", status="completed")
    store(feed, 200, 11200, 3, log_type="error")
    store(feed, 300, 11200, 1, log_type="call", status="completed")
    assert codes() == [(13224, "call", 4), (11200, "error", 3)]


def test_rules_about_silence_age_and_amounts_watch_no_code(feed: Feed) -> None:
    store(feed, 1, 30003, 2)
    plain: dict[str, Any] = {"pattern_type": "any", "pattern_value": None}
    make_rule(**plain, condition={"type": "no_data", "window_minutes": 30})
    make_rule(**plain, condition={"type": "sum", "field": "price", "at_least": 5, "window_minutes": 30})
    make_rule(**plain, condition={"type": "stuck", "older_than_minutes": 30})
    assert codes() == [(30003, "message", 2)]
    make_rule(**plain, condition={"type": "new_value", "field": "error_code"})
    assert codes() == []


def test_the_pack_that_names_a_code_comes_before_one_that_takes_all(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(feed, 1, 11200, 2, log_type="error")
    store(feed, 100, 99, 1, status="delivered")
    assert [item.pack for item in found()] == ["webhooks", "delivery"]
    monkeypatch.setattr(unwatched, "list_packs", list)
    assert [item.pack for item in found()] == [None, None]


def test_only_the_span_counts(feed: Feed) -> None:
    store(feed, 1, 30003, 10)
    assert codes(since=2, until=5) == [(30003, "message", 3)]
    assert codes(since=30) == []


@pytest.mark.parametrize("span", [{"since": 5, "until": 5}, {"since": 5, "until": 4}, {"since": -140_000}])
@pytest.mark.usefixtures("feed")
def test_an_impossible_span_is_refused(span: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        found(**span)


def test_too_many_different_logs_are_refused(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwatched, "MAX_KINDS", 2)
    store(feed, 1, 30003, 3)
    assert codes() == [(30003, "message", 3)]
    make_rule(pattern_type="regex", pattern_value="nothing")
    feed.store([log(100 + number, minutes(1), text=str(number)) for number in range(3)], minutes(59))
    with pytest.raises(InvalidInput, match="too many different logs"):
        found()
