"""Finds the next minute to judge, and the rules to judge at it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.evaluation.completeness import Completeness
from app.services.evaluation.minute_counts import MINUTE, minute_end
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.rule import Rule

MAX_CATCH_UP = timedelta(hours=24)
"""Missed minutes are judged later, in order, unless they are older than this."""


class DueMinute(NamedTuple):
    """A minute, and the rules to judge at it."""

    at: datetime
    rules: Sequence[Rule]
    completeness: Completeness


def first_judged_minute(rule: Rule) -> datetime:
    """Return the first minute at which a rule is judged: its first window begins after its start."""
    return minute_end(rule.started_at) + rule.window + rule.settle_delay


def first_judged_at(rule: Rule, known_from: datetime | None) -> datetime | None:
    """Return the first minute at which a rule can be judged; None if its condition is on matches.

    Args:    known_from: the time from which the rule's streams are completely read.
    """
    if not isinstance(rule.condition, MinuteCondition):
        return None
    first = first_judged_minute(rule)
    if rule.condition.min_known_windows and known_from is not None:
        needed = rule.condition.min_known_windows + 1
        first = max(first, minute_end(known_from + needed * rule.window))
    return first


def next_minute(
    session: Session, rules: Mapping[UUID, Rule], completeness: Completeness, now: datetime
) -> DueMinute | None:
    """Find the earliest minute that is not judged for all rules, and those rules; None if there is none."""
    asked = [rule for rule in rules.values() if isinstance(rule.condition, MinuteCondition)]
    if not asked:
        return None
    rows = session.execute(
        text("SELECT id, judged_until FROM rules WHERE id = ANY(:ids)"), {"ids": [rule.id for rule in asked]}
    )
    judged: dict[UUID, datetime | None] = {row[0]: row[1] for row in rows}
    due: dict[datetime, list[Rule]] = defaultdict(list)
    for rule in asked:
        horizon = completeness.horizon(rule)
        if horizon is None:
            continue
        last = min(horizon, now).replace(second=0, microsecond=0)
        before = judged.get(rule.id)
        first = max(first_judged_minute(rule), last - MAX_CATCH_UP + MINUTE)
        at = first if before is None else max(before + MINUTE, first)
        if at <= last:
            due[at].append(rule)
    if not due:
        return None
    at = min(due)
    return DueMinute(at, due[at], completeness)


def drop_judged(session: Session, due: DueMinute) -> DueMinute:
    """Leave out the rules that another evaluator has judged since, while this one waited for their lock."""
    rows = session.scalars(
        text("SELECT id FROM rules WHERE id = ANY(:ids) AND (judged_until IS NULL OR judged_until < :at)"),
        {"ids": [rule.id for rule in due.rules], "at": due.at},
    )
    waiting = set(rows)
    return due._replace(rules=[rule for rule in due.rules if rule.id in waiting])
