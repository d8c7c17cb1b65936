"""Warm-up: a new rule reads known values, groups and the baseline of a spike from stored logs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import models
from app.bulk import Unnest
from app.database import AdvisoryLock
from app.services.evaluation import group_slots, history, known_values, minute_counts
from app.services.evaluation.rule_set import bump_version, to_rule
from app.services.rules.conditions.base import UNKNOWN_UNIT
from app.services.rules.conditions.new_value import ValueRun
from app.services.rules.groups import group_key_of
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion

MAX_CHANGE_DELAY = timedelta(days=3)
"""A log may change this long after it occurred: changes in the lookback may belong to older logs."""
_WARM = Unnest("warm", id="uuid", epoch="int")
SCAN_TIMEOUT = "600s"


def warm_up_rules(session: Session, now: datetime) -> None:
    """Warm up new rules from the stored logs that were evaluated without them.

    No evaluation runs meanwhile, so later changes are evaluated with them. Edits of rules are not blocked: a rule whose
    meaning changes during its warm-up starts again.
    """
    session.execute(select(func.pg_advisory_xact_lock(AdvisoryLock.WARM_UP)))
    rows = session.scalars(select(models.Rule).where(models.Rule.enabled, models.Rule.seeded.is_(False))).all()
    rules = {rule.id: rule for rule in map(to_rule, rows)}
    if not rules:
        return
    cold_rules = {rule.id: rule for rule in rules.values() if rule.warm_up_span}
    found = _read_history(session, cold_rules, now)
    bump_version(session)  # As in edits, the rule set is locked before rows of rules.
    if cold_rules:
        _save(session, cold_rules, found)
    session.execute(
        text(f"UPDATE rules SET seeded = true FROM {_WARM} WHERE rules.id = warm.id AND rules.epoch = warm.epoch"),
        _WARM.values([(rule.id, rule.epoch) for rule in rules.values()]),
    )


class _History(NamedTuple):
    """What new rules would know if they had been there before."""

    deltas: minute_counts.Deltas
    runs: known_values.Runs
    times: dict[tuple[UUID, str], set[datetime]]
    """When each group was seen, to the minute."""


def _read_history(session: Session, rules: Mapping[UUID, Rule], now: datetime) -> _History:
    found = _History(defaultdict(minute_counts.CountDelta), {}, defaultdict(set))
    if not rules:
        return found
    session.execute(text(f"SET LOCAL statement_timeout = '{SCAN_TIMEOUT}'"))
    starts = {rule.id: rule.started_at - (rule.warm_up_span or timedelta(0)) for rule in rules.values()}
    index = RuleIndex([*rules.values()])
    # Include logs dated in the future: clocks differ.
    for chunk in history.read(session, min(starts.values()) - MAX_CHANGE_DELAY, now + timedelta(days=1)):
        for rule, log in _first_matches(index, chunk):
            at = log.occurred_at if rule.condition.counts_versions else log.changed_at
            if at < starts[rule.id]:
                continue
            key, minute = group_key_of(rule, log), minute_counts.minute_end(at)
            found.times[rule.id, key].add(minute)
            if rule.condition.counts_first_matches:
                found.deltas[rule.id, key, minute, UNKNOWN_UNIT].matched += 1
            elif (value := known_values.value_of(rule, log)) is not None:
                known_values.add_runs(
                    found.runs, rules, [(known_values.ValueKey(rule.id, key, value), ValueRun(at, at))]
                )
    return found


def _save(session: Session, rules: Mapping[UUID, Rule], found: _History) -> None:
    slots = group_slots.assign_slots(session, rules, found.times)
    minute_counts.save(session, rules, minute_counts.fold_overflow(found.deltas, slots))
    # Groups without a slot are combined, and so are their values.
    runs_by_slot = [
        (each._replace(group_key=slots[each[:2]]), run) for each, runs in found.runs.items() for run in runs
    ]
    known_values.save(session, rules, {}, known_values.add_runs({}, rules, runs_by_slot))


def _first_matches(index: RuleIndex, chunk: Sequence[Sequence[LogVersion]]) -> list[tuple[Rule, LogVersion]]:
    """Find for each log and rule the first version that matches."""
    found: dict[tuple[UUID, int], tuple[Rule, LogVersion]] = {}
    versions = [version for log in chunk for version in log]
    for version, matching in zip(versions, index.match_batch(versions), strict=True):
        for rule in matching:
            found.setdefault((rule.id, version.log_id), (rule, version))
    return list(found.values())
