"""The one line that says what an alert is about. Pure."""

from collections.abc import Mapping
from typing import Any

from app.enums import PatternType
from app.services.rules.types import Rule
from app.services.twilio.error_codes import describe

NOUNS = {"call": "call", "message": "message", "error": "error-log entry", "any": "log"}
PLURALS = {"call": "calls", "message": "messages", "error": "error-log entries", "any": "logs"}
PREPOSITIONS = {"to_country": "to", "to": "to", "from": "from", "account_sid": "of"}
LONGEST_WORD = 60


def summarize(rule: Rule, group: Mapping[str, Any], occurrences: int, error_code: int | None) -> str:
    """Write what happened, how often, and where: `3 calls with error 30003 (Unreachable destination handset) to GB`."""
    noun = (NOUNS if occurrences == 1 else PLURALS)[rule.log_type]
    parts = [f"{occurrences} {noun}", _what(rule, error_code), *(_where(name, value) for name, value in group.items())]
    return " ".join(part for part in parts if part)


def _what(rule: Rule, error_code: int | None) -> str:
    """Say what the pattern asks for, in words."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        return " or ".join(item.strip() for item in value.split(","))
    if error_code is not None:
        return f"with error {error_code} ({describe(error_code).message})"
    if rule.pattern_type in (PatternType.KEYWORD, PatternType.REGEX):
        return f"matching “{value[:LONGEST_WORD]}”"
    return ""


def _where(name: str, value: object) -> str:
    if name == "error_code":
        return ""
    shown = "none" if value is None else str(value)
    return f"{PREPOSITIONS[name]} {shown}" if name in PREPOSITIONS else f"({name.replace('_', ' ')} {shown})"
