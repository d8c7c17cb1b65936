"""The one line that says what an alert is about. Pure."""

from collections.abc import Mapping
from typing import Any

from app.enums import PatternType
from app.services.rules.groups import OTHER
from app.services.rules.types import (
    NoDataParams,
    RatioParams,
    Rule,
    SpikeParams,
    StuckParams,
    SumParams,
    ThresholdParams,
)
from app.services.twilio.error_codes import describe

NOUNS = {"call": "call", "message": "message", "error": "error-log entry", "any": "log"}
PLURALS = {"call": "calls", "message": "messages", "error": "error-log entries", "any": "logs"}
PREPOSITIONS = {"to_country": "to", "to": "to", "from": "from", "account_sid": "of"}
UNITS = {"price": "", "duration_seconds": " seconds", "segments": " segments"}
LONGEST_WORD = 60


def summarize(rule: Rule, group: Mapping[str, Any], occurrences: int, error_code: int | None) -> str:
    """Write what happened, how often, and where: `3 calls with error 30003 (Unreachable destination handset) to GB`."""
    params = rule.params
    window = f"(limit {params.count} in {_span(params.window_minutes)})" if isinstance(params, ThresholdParams) else ""
    return _join(
        f"{occurrences} {_noun(rule, occurrences)}", _what(rule, error_code, occurrences), _places(group), window
    )


def summarize_over_time(rule: Rule, group: Mapping[str, Any], value: float | None, occurrences: int) -> str:
    """Write what a condition over time found: `12.5% of messages undelivered to GB in 60 minutes (limit 5%)`.

    Args:    value: the percentage, sum, count or ratio to the median of the last minute judged.
    """
    params = rule.params
    what = _what(rule)
    shown = _number(value)
    if isinstance(params, RatioParams):
        share = f"{shown}% of {PLURALS[rule.log_type]}"
        return _join(
            share, what, _places(group), f"in {_span(params.window_minutes)} (limit {_number(params.percent)}%)"
        )
    if isinstance(params, NoDataParams):
        found = "no" if not value else f"only {shown}" if value < params.min_count else shown
        few = f"{found} {_noun(rule, int(value or 0))}"
        return _join(few, what, _places(group), f"in {_span(params.window_minutes)}")
    if isinstance(params, SpikeParams):
        return _join(
            f"{_number(value)} times as many {PLURALS[rule.log_type]} as usual",
            what,
            _places(group),
            f"in {_span(params.window_minutes)}",
        )
    if isinstance(params, StuckParams):
        count = int(value or 0)
        late = f"not final after {_span(params.older_than_minutes)}"
        return _join(f"{count} {_noun(rule, count)}", what, _places(group), late)
    if isinstance(params, SumParams):
        total = f"{params.field.replace('_', ' ')} of {occurrences} {_noun(rule, occurrences)}"
        limit = f"reached {_number(params.at_least)}{UNITS.get(params.field, '')} in {_span(params.window_minutes)}"
        return _join(total, what, _places(group), f"{limit} (now {shown})")
    return summarize(rule, group, occurrences, None)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _noun(rule: Rule, count: int) -> str:
    return (NOUNS if count == 1 else PLURALS)[rule.log_type]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _span(minutes: int) -> str:
    if minutes % 1440 == 0:
        return "a day" if minutes == 1440 else f"{minutes // 1440} days"
    if minutes % 60 == 0:
        return "an hour" if minutes == 60 else f"{minutes // 60} hours"
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _what(rule: Rule, error_code: int | None = None, occurrences: int = 0) -> str:
    """Say what the pattern asks for, in words."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        return " or ".join(item.strip() for item in value.split(","))
    if error_code is not None:
        if "error_code" in rule.group_by:
            return ""
        known = f"{error_code} ({describe(error_code).message})"
        one = occurrences == 1 or (rule.pattern_type == PatternType.ERROR_CODE and value.strip().isdigit())
        return f"with error {known}" if one else f"with errors, the newest {known}"
    if rule.pattern_type == PatternType.ERROR_CODE:
        return "with an error" if value.strip() == "*" else f"with error {value[:LONGEST_WORD]}"
    if rule.pattern_type in (PatternType.KEYWORD, PatternType.REGEX):
        return f"matching “{value[:LONGEST_WORD]}”"
    return ""


def _places(group: Mapping[str, Any]) -> str:
    return _join(*(_where(name, value) for name, value in group.items()))


def _where(name: str, value: object) -> str:
    if name == "error_code":
        known = f"error {value} ({describe(value).message})" if isinstance(value, int) else "no error code"
        return f"with {known}" if value != OTHER else "with other errors"
    shown = "none" if value is None else "others" if value == OTHER else str(value)
    return f"{PREPOSITIONS[name]} {shown}" if name in PREPOSITIONS else f"({name.replace('_', ' ')} {shown})"
