"""The one line that says what an alert is about. Pure."""

from collections.abc import Mapping
from typing import Any

from app.enums import PatternType
from app.services.rules.groups import OTHER_VALUE
from app.services.rules.types import (
    NewValueParams,
    NoDataParams,
    RatioParams,
    Rule,
    SpikeParams,
    StuckParams,
    SumParams,
    ThresholdParams,
)
from app.services.twilio.error_codes import describe
from app.utils.quantities import money, number, window

NOUNS = {"call": "call", "message": "message", "error": "error-log entry", "any": "log"}
PLURALS = {"call": "calls", "message": "messages", "error": "error-log entries", "any": "logs"}
GROUP_PHRASES = {
    "status": ("with status {}", "without a status", "with other statuses"),
    "direction": ("in direction {}", "without a direction", "in other directions"),
    "error_code": ("with error {}", "with no error code", "with other errors"),
    "from": ("from {}", "without a sender", "from others"),
    "to": ("to {}", "without a receiver", "to others"),
    "to_country": ("to {}", "to no known country", "to other countries"),
    "messaging_service_sid": ("by messaging service {}", "without a messaging service", "by other messaging services"),
    "account_sid": ("of account {}", "of no account", "of other accounts"),
    "price_unit": ("in {}", "without a currency", "in other currencies"),
}
"""How each field of a group is said: its value, that there is none, and that it stands for all further groups; in the
order in which a sentence takes them."""
NEW_VALUE_NAMES = {
    "status": "status",
    "direction": "direction",
    "error_code": "error code",
    "from": "sender",
    "to": "receiver",
    "to_country": "country",
    "messaging_service_sid": "messaging service",
    "account_sid": "account",
    "price_unit": "currency",
}
"""What a value of each field is, where it is new."""
SUM_UNITS = {"price": ("price", ""), "duration_seconds": ("duration", " seconds"), "segments": ("segments", "")}
"""What is added up, and its unit."""
MAX_WORD_LENGTH = 60


def summarize(rule: Rule, group: Mapping[str, Any], occurrences: int, error_code: int | None) -> str:
    """Write what happened, how often, and where: `3 calls with error 30003 (Unreachable destination handset) to GB`."""
    params = rule.params
    limit = (
        f"(limit {params.count:,} in {window(params.window_minutes)})" if isinstance(params, ThresholdParams) else ""
    )
    new_phrase = f"new {NEW_VALUE_NAMES[params.field]} in" if isinstance(params, NewValueParams) else ""
    return _join(
        new_phrase,
        f"{occurrences:,} {_noun(rule, occurrences)}",
        _subject(rule, error_code, occurrences),
        _group_phrases(group),
        limit,
    )


def summarize_over_time(
    rule: Rule,
    group: Mapping[str, Any],
    value: float | None,
    occurrences: int,
    total: int = 0,
    price_unit: str | None = None,
) -> str:
    """Write what a condition over time found: `12.5% of 640 messages undelivered to GB in 60 minutes (limit 5%)`.

    Args:
        value: the percentage, sum, count or ratio to the median of the last minute judged.
        total: what a percentage is of; 0 where that is not known.
        price_unit: the currency of a sum, where prices came in several.
    """
    params = rule.params
    subject = _subject(rule)
    shown = _value_text(params, value)
    if isinstance(params, RatioParams):
        whole = f"{total:,} {_noun(rule, total)}" if total else PLURALS[rule.log_type]
        share = f"{shown}% of {whole}"
        return _join(
            share,
            subject,
            _group_phrases(group),
            f"in {window(params.window_minutes)} (limit {number(params.percent)}%)",
        )
    if isinstance(params, NoDataParams):
        found = "no" if not value else f"only {shown}" if value < params.min_count else shown
        few = f"{found} {_noun(rule, int(value or 0))}"
        return _join(few, subject, _group_phrases(group), f"in {window(params.window_minutes)}")
    if isinstance(params, SpikeParams):
        return _join(
            f"{shown} times as many {PLURALS[rule.log_type]} as usual",
            subject,
            _group_phrases(group),
            f"in {window(params.window_minutes)}",
        )
    if isinstance(params, StuckParams):
        count = int(value or 0)
        stuck_phrase = f"not final after {window(params.older_than_minutes)}"
        return _join(f"{count:,} {_noun(rule, count)}", subject, _group_phrases(group), stuck_phrase)
    if isinstance(params, SumParams):
        added, unit = SUM_UNITS[params.field]
        if price_unit and "price_unit" not in group:
            unit = f" {price_unit}"
        amount = f"{added} of {occurrences:,} {_noun(rule, occurrences)}"
        limit = f"reached {_sum(params, params.at_least)}{unit} in {window(params.window_minutes)}"
        return _join(amount, subject, _group_phrases(group), f"{limit} (now {shown}{unit})")
    return summarize(rule, group, occurrences, None)


def _sum(params: SumParams, value: float) -> str:
    return money(value) if params.field == "price" else number(value)


def _value_text(params: object, value: float | None) -> str:
    if value is None:
        return "?"
    return _sum(params, value) if isinstance(params, SumParams) else number(value)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _noun(rule: Rule, count: int) -> str:
    return (NOUNS if count == 1 else PLURALS)[rule.log_type]


def _subject(rule: Rule, error_code: int | None = None, occurrences: int = 0) -> str:
    """Say what the matches have in common: what the pattern asks for, and the code they have, where that is known."""
    by_code = rule.pattern_type == PatternType.ERROR_CODE
    if error_code is None or rule.pattern_type == PatternType.STATUS:
        return _pattern_phrase(rule)
    if "error_code" in rule.group_by:
        return "" if by_code else _pattern_phrase(rule)
    known = f"{error_code} ({describe(error_code).message})"
    if by_code:
        one = occurrences == 1 or (rule.pattern_value or "").strip().isdigit()
        return f"with error {known}" if one else f"with errors, the newest {known}"
    return (
        f"{_pattern_phrase(rule)} with error {known}".lstrip()
        if occurrences == 1
        else _matching(_pattern_phrase(rule), known)
    )


def _matching(asked: str, known: str) -> str:
    """Other patterns than those of codes match logs without one, too."""
    return f"{asked} of which some have error {known}".lstrip()


def _pattern_phrase(rule: Rule) -> str:
    """Say what the pattern asks for, in words."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        return " or ".join(item.strip() for item in value.split(","))
    if rule.pattern_type == PatternType.ERROR_CODE:
        return "with an error" if value.strip() == "*" else f"with error {value[:MAX_WORD_LENGTH]}"
    if rule.pattern_type in (PatternType.KEYWORD, PatternType.REGEX):
        return f"matching “{value[:MAX_WORD_LENGTH]}”"
    return ""


def _group_phrases(group: Mapping[str, Any]) -> str:
    """Say which group it is; a number says its country."""
    if len(group) > 1 and set(group.values()) == {OTHER_VALUE}:
        return "in all other groups"
    phrases = [name for name in GROUP_PHRASES if name in group and not (name == "to_country" and group.get("to"))]
    return _join(*(_group_phrase(name, group[name]) for name in phrases))


def _group_phrase(name: str, value: object) -> str:
    known, nothing, others = GROUP_PHRASES[name]
    if value is None:
        return nothing
    if value == OTHER_VALUE:
        return others
    meaning = f" ({describe(value).message})" if name == "error_code" and isinstance(value, int) else ""
    return known.format(value) + meaning
