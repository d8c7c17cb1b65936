"""The line that says what an alert is about."""

from typing import Any

import pytest

from app.enums import PatternType
from app.services.alerts.summary import summarize, summarize_over_time
from tests.factories import make_rule

CODES = {"log_type": "call", "pattern_type": PatternType.ERROR_CODE}
STATUS = {"log_type": "message", "pattern_type": PatternType.STATUS, "pattern_value": "failed,undelivered"}
ANY = {"log_type": "message", "pattern_type": PatternType.ANY, "pattern_value": None}
KEYWORD = {"log_type": "message", "pattern_type": PatternType.KEYWORD, "pattern_value": "spam"}


@pytest.mark.parametrize(
    ("rule", "group", "occurrences", "code", "said"),
    [
        (
            CODES | {"pattern_value": "30003"},
            {"to_country": "GB"},
            3,
            30003,
            "3 calls with error 30003 (Unreachable destination handset) to GB",
        ),
        (
            CODES | {"pattern_value": "30001,30002,30003"},
            {},
            6,
            30002,
            "6 calls with errors, the newest 30002 (Account suspended)",
        ),
        (CODES | {"pattern_value": "*"}, {}, 1, 30002, "1 call with error 30002 (Account suspended)"),
        (
            STATUS | {"group_by": ("error_code",)},
            {"error_code": 30003},
            17,
            30003,
            "17 messages failed or undelivered with error 30003 (Unreachable destination handset)",
        ),
        (ANY, {}, 200, 30007, "200 messages, some with error 30007 (Message filtered)"),
        (ANY, {}, 1, 30007, "1 message with error 30007 (Message filtered)"),
        (KEYWORD, {}, 2, 30007, "2 messages matching “spam”, some with error 30007 (Message filtered)"),
        (
            ANY | {"condition": {"type": "new_value", "field": "to_country", "lookback_days": 30}},
            {},
            1,
            None,
            "new country in 1 message",
        ),
        (STATUS, {"from": None}, 2, None, "2 messages failed or undelivered without a sender"),
        (
            STATUS,
            {"to_country": "GB", "to": "+447700900123", "messaging_service_sid": None, "status": "failed"},
            1234,
            None,
            "1,234 messages failed to +447700900123 without a messaging service",
        ),
        (
            STATUS,
            {"to": "__other__", "from": "__other__"},
            2,
            None,
            "2 messages failed or undelivered in all other groups",
        ),
        (STATUS, {"to": "__other__"}, 2, None, "2 messages failed or undelivered to others"),
        (
            STATUS | {"condition": {"type": "threshold", "count": 10, "window_minutes": 5}},
            {"to_country": "GB"},
            12,
            None,
            "12 messages failed or undelivered to GB (limit 10 in 5 minutes)",
        ),
    ],
)
def test_it_says_what_happened_how_often_and_where(
    rule: dict[str, Any], group: dict[str, Any], occurrences: int, code: int | None, said: str
) -> None:
    assert summarize(make_rule(**rule), group, occurrences, code) == said


@pytest.mark.parametrize(
    ("condition", "value", "said"),
    [
        (
            {"type": "ratio", "percent": 5, "window_minutes": 60, "min_total": 50, "settle_minutes": 10},
            12.5,
            "12.5% of messages failed or undelivered to GB in an hour (limit 5%)",
        ),
        (
            {"type": "no_data", "window_minutes": 30, "min_count": 1},
            0.0,
            "no messages failed or undelivered to GB in 30 minutes",
        ),
        (
            {"type": "no_data", "window_minutes": 30, "min_count": 4},
            3.0,
            "only 3 messages failed or undelivered to GB in 30 minutes",
        ),
        (
            {"type": "no_data", "window_minutes": 30, "min_count": 4},
            8.0,
            "8 messages failed or undelivered to GB in 30 minutes",
        ),
        (
            {"type": "spike", "factor": 3, "window_minutes": 15, "baseline_windows": 8, "min_count": 20},
            4.0,
            "4 times as many messages as usual failed or undelivered to GB in 15 minutes",
        ),
        (
            {"type": "stuck", "older_than_minutes": 30, "min_count": 1},
            1.0,
            "1 message failed or undelivered to GB not final after 30 minutes",
        ),
        (
            {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 1440},
            61.25,
            "price of 7 messages failed or undelivered to GB reached 50 in a day (now 61.25)",
        ),
        (
            {"type": "sum", "field": "duration_seconds", "at_least": 3600, "window_minutes": 60},
            7200,
            "duration of 7 messages failed or undelivered to GB reached 3,600 seconds in an hour (now 7,200 seconds)",
        ),
    ],
)
def test_it_says_what_a_condition_over_time_found(condition: dict[str, Any], value: float, said: str) -> None:
    rule = make_rule(**STATUS, condition=condition)
    assert summarize_over_time(rule, {"to_country": "GB"}, value, 7) == said


def test_a_sum_of_prices_in_several_currencies_names_the_one_that_passed() -> None:
    condition = {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60}
    said = summarize_over_time(make_rule(**STATUS, condition=condition), {}, 61.25, 7, price_unit="EUR")
    assert said == "price of 7 messages failed or undelivered reached 50 EUR in an hour (now 61.25 EUR)"
    said = summarize_over_time(make_rule(condition=condition), {"price_unit": "EUR"}, 61.25, 7, price_unit="EUR")
    assert said == "price of 7 logs in EUR reached 50 in an hour (now 61.25)"


def test_a_share_names_its_total() -> None:
    condition = {"type": "ratio", "percent": 5, "window_minutes": 60, "min_total": 50, "settle_minutes": 10}
    rule = make_rule(**STATUS, condition=condition)
    said = summarize_over_time(rule, {"to_country": "GB"}, 12.5, 7, 1640)
    assert said == "12.5% of 1,640 messages failed or undelivered to GB in an hour (limit 5%)"
