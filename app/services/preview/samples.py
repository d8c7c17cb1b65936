"""Finds the newest logs that a rule matches or nearly matches, to help write its pattern."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import PatternType
from app.errors import StatementTimeout
from app.services.evaluation.current_matches import version_of
from app.services.logs import search
from app.services.logs.search import LogFilter
from app.services.preview import near_misses
from app.services.preview.near_misses import FAILED_STATUSES, NearMiss
from app.services.preview.request import rule_from_definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.patterns import code_ranges, list_items
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.serializers import log_json

SPAN = timedelta(days=7)
MAX_LOOKED_AT = 400
MAX_SHOWN = 5
MAX_SECONDS = 2.0


@dataclass(frozen=True)
class Sample:
    """Matching logs, and what was searched."""

    logs: Sequence[Row[*tuple[Any, ...]]]
    """Newest first."""
    looked_at: int
    """The number of newest logs that were checked."""
    near: Sequence[NearMiss]
    """Logs that nearly match."""


def sample(session: Session, definition: RuleDefinition, now: datetime) -> Sample | None:
    """Find matches among the newest logs that pass the rule's filters.

    Returns: None if that takes too long.
    """
    rule = rule_from_definition(definition, now)
    try:
        with session.begin_nested(), limit_statements(session, MAX_SECONDS):
            rows = search.list_logs(session, _filter(rule, now - SPAN), None, MAX_LOOKED_AT).items
            others = [
                row
                for wanted in _looser_filters(rule, now - SPAN)
                for row in search.list_logs(session, wanted, None, MAX_LOOKED_AT).items
            ]
    except StatementTimeout:
        return None
    hits = RuleIndex([rule]).match_batch([version_of(row) for row in rows])
    matching = [row for row, rules in zip(rows, hits, strict=True) if rules]
    return Sample(matching[:MAX_SHOWN], len(rows), near_misses.find(rule, others))


def to_json(found: Sample) -> dict[str, Any]:
    """Serialize samples as the API shows them."""
    return {
        "looked_at": found.looked_at,
        "logs": [log_json(row) for row in found.logs],
        "near": [{"log": log_json(each.log), "lacks": each.lacks} for each in found.near],
    }


def _looser_filters(rule: Rule, since: datetime) -> Iterator[LogFilter]:
    """Yield filters for near misses: without the rule's filters, and without its code or status; at most two."""
    if rule.filters:
        yield _filter(replace(rule, filters={}), since)
    if rule.pattern_type in (PatternType.STATUS, PatternType.ERROR_CODE):
        loose = _filter(replace(rule, pattern_type=PatternType.ANY, pattern_value=None), since)
        # Entries of the error log have no status.
        yield (replace(loose, status=FAILED_STATUSES) if rule.log_type in ("message", "call") else loose)


def _filter(rule: Rule, since: datetime) -> LogFilter:
    """Return the filter for what columns can decide; the rule's pattern decides the rest."""
    values: dict[str, Any] = {
        "from_" if name == "from" else name: tuple(sorted(given)) for name, given in rule.filters.items()
    }
    kinds = () if rule.log_type == "any" else (rule.log_type,)
    pattern = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        values["status"] = tuple(list_items(pattern))
    codes: tuple[int, ...] = ()
    if rule.pattern_type == PatternType.ERROR_CODE:
        ranges = code_ranges(pattern)
        codes = tuple(each.first for each in ranges) if all(each.first == each.last for each in ranges) else ()
    return LogFilter(log_type=kinds, error_code=codes, since=since, **values)
