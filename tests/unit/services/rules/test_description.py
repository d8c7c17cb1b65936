"""The sentence that says what a rule does."""

from typing import Any

import pytest

from app.services.rules.definition import parse_rule
from app.services.rules.description import describe_rule, plain_text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"condition": {"type": "threshold", "count": 10, "window_minutes": 5, "resolve_count": 4}},
            "and resolves an hour after the last match, if fewer than 4 are left in the window.",
        ),
        (
            {"condition": {"type": "ratio", "percent": 5, "window_minutes": 60, "resolve_percent": 2.5}},
            "and resolves as soon as it is below 2.5%.",
        ),
        (
            {"condition": {"type": "ratio", "percent": 5, "window_minutes": 60}},
            "and resolves as soon as that is no longer so.",
        ),
        (
            {"condition": {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60}},
            "when the price of all messages, each currency by itself, adds up to at least 50 within an hour.",
        ),
        (
            {
                "condition": {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60},
                "group_by": ["price_unit"],
            },
            "for each currency when the price of all messages adds up to at least 50 within an hour.",
        ),
    ],
)
def test_it_says_what_opens_and_what_ends_an_alert(fields: dict[str, Any], said: str) -> None:
    body = {"name": "Rule", "log_type": "message", "pattern_type": "any", "cooldown_minutes": 0}
    assert said in plain_text(describe_rule(parse_rule(body | fields)))


@pytest.mark.parametrize(
    ("pattern", "value", "said"),
    [
        ("error_code", "30007", "with error 30007"),
        ("status", "failed", "with status failed"),
        ("keyword", "bit.ly", "containing “bit.ly”"),
        ("regex", "bit\\.ly", "fitting the pattern bit\\.ly"),
        ("expression", "log.segments > 3", "satisfying log.segments > 3"),
    ],
)
@pytest.mark.parametrize(
    ("condition", "logs"),
    [
        ({"type": "each"}, "a message"),
        ({"type": "threshold", "count": 10, "window_minutes": 5}, "at least 10 messages"),
    ],
)
def test_the_pattern_fits_one_log_and_many(
    condition: dict[str, Any], logs: str, pattern: str, value: str, said: str
) -> None:
    body = {"name": "Rule", "log_type": "message", "pattern_type": pattern, "pattern_value": value}
    assert f"{logs} {said}" in plain_text(describe_rule(parse_rule(body | {"condition": condition})))
