"""Finds error codes that occurred and that no enabled rule would match, and the rule pack that would."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.enums import LogType, PatternType
from app.errors import FieldError, InvalidInput
from app.services.evaluation.rule_set import read_rule_set
from app.services.logs.codes import Code, one_per_code
from app.services.preview.queries import STATES, fields_of, group_by, select
from app.services.preview.request import rule_from_definition
from app.services.rules.packs import list_packs
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion
from app.services.spans import check_span
from app.services.twilio.error_codes import describe
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

SHOWN_SPAN = timedelta(days=7)
MAX_SPAN = timedelta(days=92)
MAX_KINDS = 300_000
"""Combinations of the fields that rules look at: with rules about texts, each log is one."""
TOO_MANY = "is too far back: there are too many different logs; shorten the span"
SAMPLES = 20
"""The newest logs of each code that packs are tried with."""
_CODED = "error_code IS NOT NULL AND occurred_at >= :since AND occurred_at < :until"


@dataclass(frozen=True)
class UnwatchedCode:
    """An error code that no enabled rule would match, as `one_per_code` counts it."""

    error_code: int
    log_type: LogType
    count: int
    last_at: datetime
    pack: str | None
    """The name of a rule pack that would match it; None if there is none."""


def find_unwatched(session: Session, since: datetime, until: datetime) -> list[UnwatchedCode]:
    """List the codes of logs created in [since, until) that no enabled rule would match, the most frequent first.

    A code is watched if a rule matches any log that has it.

    Raises: InvalidInput if the span is empty or holds too many different logs.
    """
    check_span(since, until, MAX_SPAN)
    rules = [rule for rule in read_rule_set(session).rules.values() if _is_about_codes(rule)]
    counts, watched = _count(session, rules, {"since": since, "until": until})
    unwatched = {key: found for key, found in counts.items() if key.error_code not in watched}
    packs = _packs_for(session, {key.error_code for key in unwatched}, {"since": since, "until": until})
    return [
        UnwatchedCode(*key, *unwatched[key], packs.get(key.error_code))
        for key in one_per_code({key: count for key, (count, _) in unwatched.items()})
    ]


def _count(
    session: Session, rules: Sequence[Rule], span: Mapping[str, Any]
) -> tuple[dict[Code, tuple[int, datetime]], set[int]]:
    """Count the logs by code and type, and find the codes that a rule matches."""
    fields = frozenset({"error_code", "log_type"}).union(*map(fields_of, rules)) - {"change_id", "is_first"}
    query = select(fields, "count(*)", "max(occurred_at)") + f" FROM {STATES} WHERE {_CODED}" + group_by(fields)
    rows = session.execute(text(f"{query} LIMIT {MAX_KINDS + 1}"), span).all()
    if len(rows) > MAX_KINDS:
        raise InvalidInput([FieldError("since", TOO_MANY)])
    index, counts, watched = RuleIndex(rules), dict[Code, tuple[int, datetime]](), set[int]()
    for *values, count, last_at in rows:
        log = LogVersion(*values)
        assert log.error_code is not None, "the query asks for it"
        code = Code(log.error_code, LogType(log.log_type))
        known, newest = counts.get(code, (0, last_at))
        counts[code] = known + count, max(newest, last_at)
        if log.error_code not in watched and index.match_batch([log])[0]:
            watched.add(log.error_code)
    return counts, watched


def _packs_for(session: Session, codes: Iterable[int], span: Mapping[str, Any]) -> dict[int, str]:
    """Find for each code the first pack with a rule that matches one of its newest logs, one that names it if any."""
    fields = frozenset(LogVersion._fields)
    newest = "row_number() OVER (PARTITION BY error_code, log_type ORDER BY occurred_at DESC)"
    inner = f"SELECT *, {newest} AS position FROM {STATES} WHERE {_CODED} AND error_code = ANY(:codes)"
    query = select(fields) + f" FROM ({inner}) AS version WHERE position <= {SAMPLES}"
    logs = [LogVersion(*row) for row in session.execute(text(query), {**span, "codes": sorted(codes)})]
    found: dict[int, str] = {}
    for is_wanted in (_is_specific, _takes_all):
        for pack in list_packs():
            rules = [rule_from_definition(rule.definition, span["since"]) for rule in pack.rules]
            index = RuleIndex([rule for rule in rules if _is_about_codes(rule) and is_wanted(rule)])
            for log, matching in zip(logs, index.match_batch(logs), strict=True):
                if matching and log.error_code is not None:
                    found.setdefault(log.error_code, pack.name)
    return found


def _is_about_codes(rule: Rule) -> bool:
    """Return whether a match says something about its code: conditions on silence, age and amounts do not."""
    condition = rule.condition
    return not (condition.holds_below or condition.names_logs or condition.summed_field)


def _takes_all(rule: Rule) -> bool:
    """Return whether a rule matches every code: then it says little about a single one."""
    return rule.pattern_type == PatternType.ANY or rule.pattern_value == "*"


def _is_specific(rule: Rule) -> bool:
    return not _takes_all(rule)


def to_json(item: UnwatchedCode) -> JsonObject:
    """Serialize an unwatched code as the API shows it."""
    return {
        "error_code": item.error_code,
        "message": describe(item.error_code).message,
        "count": item.count,
        "last_at": rfc3339(item.last_at),
        "log_type": item.log_type,
        "pack": item.pack,
    }
