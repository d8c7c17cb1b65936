"""The fields that decide which logs a rule matches: it is no news that these have them in common. Pure."""

import re

from app.enums import PatternType
from app.services.findings.comparison import OUTCOME_FIELDS
from app.services.findings.traits import FIELDS, TEXT_FIELDS


def decided_by(pattern_type: PatternType, pattern_value: str | None) -> set[str]:
    """List the fields that decide which logs match."""
    match pattern_type:
        case PatternType.ERROR_CODE | PatternType.STATUS:
            return {*OUTCOME_FIELDS}
        case PatternType.KEYWORD | PatternType.REGEX:
            return {*TEXT_FIELDS}
        case PatternType.EXPRESSION:
            return _named_in(pattern_value or "")
    return set()


def _named_in(expression: str) -> set[str]:
    """List the fields that an expression names. Status and code imply each other; `text` implies what is in it."""
    named = set(re.findall(r"\blog\.(\w+)", expression)) | set(re.findall(r"""\blog\[["'](\w+)["']\]""", expression))
    found = {"from" if name == "from_" else name for name in named}
    if found & OUTCOME_FIELDS:
        found |= OUTCOME_FIELDS
    if "text" in found:
        found |= {*TEXT_FIELDS}
    if found & {"occurred_at", "changed_at"}:
        found.add("hour")
    return found & {*FIELDS}
