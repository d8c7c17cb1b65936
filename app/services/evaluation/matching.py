"""Matches a batch of changes against the rule set: new matches, and changes of counts."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.services.evaluation import change_queue, minute_counts
from app.services.evaluation.rule_set import RuleSet, account_starts, effective_start
from app.services.rules.conditions.base import UNKNOWN_UNIT
from app.services.rules.groups import group_key_of
from app.services.rules.rule import Rule
from app.services.rules.rule_index import Failures
from app.services.rules.types import LogVersion

_ASKED = Unnest("asked", rule_id="uuid", epoch="int", log_id="bigint")


class BatchMatches(NamedTuple):
    """The matches and counts of a batch."""

    new_matches: list[tuple[Rule, LogVersion]]
    deltas: minute_counts.Deltas
    failures: Failures

    def rule_ids(self) -> set[UUID]:
        """Return the rules that this batch changes: with new matches, changes of counts, or errors."""
        matched, counted = {rule.id for rule, _ in self.new_matches}, {rule_id for rule_id, *_ in self.deltas}
        return matched | counted | self.failures.reasons.keys()

    def group_times(self) -> dict[tuple[UUID, str], set[datetime]]:
        """Return when each group was seen, by the time that its rule uses."""
        times: dict[tuple[UUID, str], set[datetime]] = defaultdict(set)
        for rule_id, key, minute, _ in self.deltas:
            times[rule_id, key].add(minute)
        for rule, log in self.new_matches:
            at = log.occurred_at if rule.condition.counts_versions else log.changed_at
            times[rule.id, group_key_of(rule, log)].add(at)
        return times


def match_batch(session: Session, rule_set: RuleSet, changes: Sequence[LogVersion]) -> BatchMatches:
    """Find the rules that each change matches for the first time, and the changes of counts."""
    starts = account_starts(session)
    matching_rules = rule_set.index.match_batch(changes)
    pairs = [
        (rule, change)
        for change, rules in zip(changes, matching_rules, strict=True)
        for rule in rules
        if change.changed_at >= effective_start(rule, starts[change.account_id])
    ]
    new_matches = _drop_known_matches(session, pairs)
    deltas: minute_counts.Deltas = defaultdict(minute_counts.CountDelta)
    if rule_set.counted_rule_ids:
        _add_counts(session, rule_set, changes, matching_rules, starts, deltas)
    for rule, log in new_matches:
        if rule.condition.counts_first_matches:
            minute = minute_counts.minute_end(log.changed_at)
            deltas[rule.id, group_key_of(rule, log), minute, UNKNOWN_UNIT].matched += 1
    return BatchMatches(new_matches, deltas, rule_set.index.pop_failures())


def _drop_known_matches(session: Session, pairs: Sequence[tuple[Rule, LogVersion]]) -> list[tuple[Rule, LogVersion]]:
    """Drop the pairs of rule and log that matched before, in this batch or an earlier one."""
    new_pairs: dict[tuple[UUID, int], tuple[Rule, LogVersion]] = {}
    for rule, log in pairs:
        new_pairs.setdefault((rule.id, log.log_id), (rule, log))
    # Only logs whose first version was in an earlier batch can have matched before.
    in_batch = {log.log_id for _, log in new_pairs.values() if log.is_first}
    asked = [(rule.id, rule.epoch, log.log_id) for rule, log in new_pairs.values() if log.log_id not in in_batch]
    if asked:
        rows = session.execute(
            text(f"SELECT rule_id, log_id FROM matches WHERE (rule_id, epoch, log_id) IN (SELECT * FROM {_ASKED})"),
            _ASKED.values(asked),
        )
        for rule_id, log_id in rows:
            del new_pairs[rule_id, log_id]
    return list(new_pairs.values())


def _add_counts(
    session: Session,
    rule_set: RuleSet,
    changes: Sequence[LogVersion],
    matching_rules: Sequence[tuple[Rule, ...]],
    starts: dict[int, datetime],
    deltas: minute_counts.Deltas,
) -> None:
    """Add the counts of the changes, and subtract those of the previous versions."""
    before = change_queue.versions_before(session, changes)
    former = [version for version in before if version is not None]
    for versions, matched, sign in (
        (changes, matching_rules, 1),
        (former, rule_set.index.match_batch(former), -1),
    ):
        populations = rule_set.index.ratio_rules_of(versions)
        for version, rules, population in zip(versions, matched, populations, strict=True):
            matches = {rule.id: rule for rule in rules if rule.id in rule_set.counted_rule_ids}
            for rule in (matches | {rule.id: rule for rule in population}).values():
                if version.occurred_at >= effective_start(rule, starts[version.account_id]):
                    minute_counts.add_version(deltas, rule, version, rule.id in matches, sign)
