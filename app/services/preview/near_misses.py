"""Finds logs that a rule nearly matches, and what each lacks: one filter, or the pattern's code or status. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Row

from app.enums import PatternType
from app.services.evaluation.current_matches import version_of
from app.services.rules.patterns import code_ranges, list_items
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion
from app.services.rules.words import NEW_VALUE_NAMES

MAX_SHOWN = 3
MAX_DISTANCE = 100
"""The largest distance from the pattern's codes that is near."""
FAILED_STATUSES = ("failed", "undelivered", "busy", "no-answer", "canceled")
MAX_LISTED = 3


class NearMiss(NamedTuple):
    """A log that the rule does not match, and why."""

    log: Row[*tuple[Any, ...]]
    lacks: str


class _Candidate(NamedTuple):
    distance: int
    miss: NearMiss


def find(rule: Rule, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[NearMiss]:
    """Choose the logs that lack least; of several that lack the same, the newest.

    Args:    rows: logs of the rule's type, newest first.
    """
    whole = replace(rule, id=uuid4(), pattern_type=PatternType.ANY, pattern_value=None)
    bare = replace(rule, id=uuid4(), filters={})
    hits = RuleIndex([rule, whole, bare]).match_batch([version_of(row) for row in rows])
    found: dict[str, _Candidate] = {}
    for row, rules in zip(rows, hits, strict=True):
        if rule in rules:
            continue
        for candidate in _candidates(rule, row, passes_filters=whole in rules, passes_pattern=bare in rules):
            known = found.get(candidate.miss.lacks)
            if known is None or candidate.distance < known.distance:
                found[candidate.miss.lacks] = candidate
    return [each.miss for each in sorted(found.values(), key=lambda each: each.distance)[:MAX_SHOWN]]


def _candidates(
    rule: Rule, row: Row[*tuple[Any, ...]], *, passes_filters: bool, passes_pattern: bool
) -> Iterator[_Candidate]:
    log = version_of(row)
    if passes_filters and (distance := _pattern_distance(rule, log)) is not None:
        is_code = rule.pattern_type == PatternType.ERROR_CODE
        value = log.error_code if is_code else log.status
        wanted = _listed(list_items(rule.pattern_value or ""))
        yield _Candidate(distance, NearMiss(row, f"its {'code' if is_code else 'status'} is {value}, not {wanted}"))
    failing = [field for field, values in rule.filters.items() if _value(log, field) not in values]
    if passes_pattern and len(failing) == 1:
        field = failing[0]
        name = NEW_VALUE_NAMES.get(field, field.replace("_", " "))
        is_ = f"is {_value(log, field)}" if _value(log, field) else "is not known"
        yield _Candidate(0, NearMiss(row, f"its {name} {is_}, not {_listed(sorted(rule.filters[field]))}"))


def _pattern_distance(rule: Rule, log: LogVersion) -> int | None:
    """Return how far a log is from the pattern's codes or statuses; None if it is not near."""
    if rule.pattern_type == PatternType.STATUS:
        return 1 if log.status in FAILED_STATUSES else None
    if rule.pattern_type != PatternType.ERROR_CODE or log.error_code is None:
        return None
    code = log.error_code
    distance = min(max(each.first - code, code - each.last) for each in code_ranges(rule.pattern_value or ""))
    return distance if 0 < distance <= MAX_DISTANCE else None


def _value(log: LogVersion, field: str) -> str | None:
    value: str | None = getattr(log, "from_" if field == "from" else field)
    return value


def _listed(values: Sequence[str]) -> str:
    more = len(values) - MAX_LISTED
    return " or ".join(values[:MAX_LISTED]) + (f" or {more} more" if more > 0 else "")
