"""The summary of an alert in one line. Pure."""

from collections.abc import Mapping
from typing import Any

from app.enums import OTHER_VALUE, PatternType
from app.services.rules.rule import Rule
from app.services.rules.words import AlertFacts, join
from app.services.twilio.error_codes import describe

GROUP_PHRASES = {
    "status": ("with status {}", "without a status", "with other statuses"),
    "direction": ("in direction {}", "without a direction", "in other directions"),
    "error_code": ("with error {}", "with no error code", "with other errors"),
    "from": ("from {}", "without a sender", "from others"),
    "to": ("to {}", "without a recipient", "to others"),
    "to_country": ("to {}", "to no known country", "to other countries"),
    "messaging_service_sid": ("by messaging service {}", "without a messaging service", "by other messaging services"),
    "account_sid": ("of account {}", "of no account", "of other accounts"),
    "price_unit": ("in {}", "without a currency", "in other currencies"),
}
"""The words for each field of a group, in the order of a sentence: with a value, without one, and for all further
groups."""
MAX_WORD_LENGTH = 60


def summarize(rule: Rule, group: Mapping[str, Any], occurrences: int, error_code: int | None) -> str:
    """Summarize what happened, how often, and where: `3 calls with error 30003 (Unreachable handset) to GB`."""
    subject, phrases = _subject(rule, group, error_code, occurrences), _group_phrases(rule, group)
    return rule.condition.summarize(AlertFacts(rule.log_type, subject, group, phrases, occurrences))


def summarize_over_time(
    rule: Rule,
    group: Mapping[str, Any],
    value: float | None,
    occurrences: int,
    total: int = 0,
    price_unit: str | None = None,
) -> str:
    """Summarize what a condition over time found: `12.5% of 640 messages undelivered to GB in 60 minutes (limit 5%)`.

    Args:
        value: the percentage, sum, count or ratio to the median in the last evaluated minute.
        total: the base of a percentage; 0 if unknown.
        price_unit: the currency of a sum, if there are several.
    """
    subject, phrases = _subject(rule, group), _group_phrases(rule, group)
    facts = AlertFacts(rule.log_type, subject, group, phrases, occurrences, value, total, price_unit)
    return rule.condition.summarize(facts)


def _subject(rule: Rule, group: Mapping[str, Any], error_code: int | None = None, occurrences: int = 0) -> str:
    """Describe what the matches have in common: the pattern, and their code if it is known."""
    if _is_one_status(rule, group):
        return str(group["status"])
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
        else _with_some_errors(_pattern_phrase(rule), known)
    )


def _with_some_errors(asked: str, known: str) -> str:
    """Patterns other than those on codes also match logs without a code."""
    return f"{asked}, some with error {known}"


def _pattern_phrase(rule: Rule) -> str:
    """Describe the pattern in words."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        return " or ".join(item.strip() for item in value.split(","))
    if rule.pattern_type == PatternType.ERROR_CODE:
        return "with an error" if value.strip() == "*" else f"with error {value[:MAX_WORD_LENGTH]}"
    if rule.pattern_type in (PatternType.KEYWORD, PatternType.REGEX):
        return f"matching “{value[:MAX_WORD_LENGTH]}”"
    return ""


def _is_one_status(rule: Rule, group: Mapping[str, Any]) -> bool:
    """Return whether the group names one of the rule's statuses."""
    return rule.pattern_type == PatternType.STATUS and group.get("status") not in (None, OTHER_VALUE)


def _group_phrases(rule: Rule, group: Mapping[str, Any]) -> str:
    """Describe the group. A phone number is followed by its country."""
    if len(group) > 1 and set(group.values()) == {OTHER_VALUE}:
        return "in all other groups"
    covered = {"to_country"} if group.get("to") else set()
    covered |= {"status"} if _is_one_status(rule, group) else set()
    return join(*(_group_phrase(name, group[name]) for name in GROUP_PHRASES if name in group and name not in covered))


def _group_phrase(name: str, value: object) -> str:
    known, nothing, others = GROUP_PHRASES[name]
    if value is None:
        return nothing
    if value == OTHER_VALUE:
        return others
    meaning = f" ({describe(value).message})" if name == "error_code" and isinstance(value, int) else ""
    return known.format(value) + meaning
