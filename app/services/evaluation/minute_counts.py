"""Per-minute counts by rule and group for conditions over time, from the latest versions of logs.

In the transaction that evaluates a version, its counts are added and those of the previous version subtracted. So each
log counts once, in its latest version.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.services.rules.groups import group_key_of
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LONG_WINDOW = timedelta(hours=6)
"""Longer windows are summed by the hour where possible: by the minute they are too slow."""

_ADDED = Unnest(
    "added",
    rule_id="uuid",
    epoch="int",
    ends_at="timestamptz",
    group_key="text",
    unit="text",
    total="int",
    matched="int",
    amount="numeric",
)
_NEEDED = Unnest("needed", rule_id="uuid", epoch="int", since="timestamptz")


@dataclass
class CountDelta:
    """An addition to one minute of one group."""

    total: int = 0
    matched: int = 0
    amount: Decimal = Decimal(0)

    def add(self, total: int, matched: int, amount: Decimal) -> None:
        self.total += total
        self.matched += matched
        self.amount += amount


Deltas = dict[tuple[UUID, str, datetime, str], CountDelta]
"""Additions by (rule, group, minute, unit); the unit is that of `amount`."""


def minute_end(at: datetime) -> datetime:
    """Return the end of the minute that contains a moment: windows are open on the left."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + MINUTE


def hour_end(minute: datetime) -> datetime:
    """Return the end of the hour that contains a minute, which is identified by its end."""
    floor = minute.replace(minute=0, second=0, microsecond=0)
    return floor if floor == minute else floor + HOUR


def has_counts(rule: Rule) -> bool:
    """Return whether the rule has counts."""
    return rule.condition.counts_versions or rule.condition.counts_first_matches


def has_hour_counts(rule: Rule) -> bool:
    """Return whether the rule has hourly counts besides those per minute."""
    return has_counts(rule) and rule.window >= LONG_WINDOW


def add_version(deltas: Deltas, rule: Rule, log: LogVersion, matches: bool, sign: int) -> None:
    """Add the counts of one version of a log for one rule, or subtract them (`sign` -1)."""
    total, matched, amount, unit = rule.condition.count_version(log, matches)
    if not (total or matched):
        return
    key = (rule.id, group_key_of(rule, log), minute_end(log.occurred_at), unit)
    found = deltas.get(key)
    if found is None:
        found = deltas[key] = CountDelta()
    found.add(sign * total, sign * matched, sign * amount)


def fold_overflow(deltas: Deltas, slots: Mapping[tuple[UUID, str], str]) -> Deltas:
    """Combine the groups without a slot."""
    folded: Deltas = defaultdict(CountDelta)
    for (rule_id, key, minute, unit), amounts in deltas.items():
        folded[rule_id, slots[rule_id, key], minute, unit].add(amounts.total, amounts.matched, amounts.amount)
    return folded


def save(session: Session, rules: Mapping[UUID, Rule], deltas: Deltas) -> None:
    """Add to the stored counts in the order of their keys, so that evaluators cannot deadlock."""
    _upsert(session, "minute_counts", "minute", rules, deltas)
    hours: Deltas = defaultdict(CountDelta)
    for (rule_id, key, minute, unit), each in deltas.items():
        if has_hour_counts(rules[rule_id]):
            hours[rule_id, key, hour_end(minute), unit].add(each.total, each.matched, each.amount)
    _upsert(session, "hour_counts", "hour", rules, hours)


def _upsert(session: Session, table: str, column: str, rules: Mapping[UUID, Rule], deltas: Deltas) -> None:
    rows = sorted(
        (rule_id, rules[rule_id].epoch, at, key, unit, each.total, each.matched, each.amount)
        for (rule_id, key, at, unit), each in deltas.items()
        if each.total or each.matched or each.amount
    )
    if not rows:
        return
    session.execute(
        text(
            f"INSERT INTO {table} AS kept (rule_id, epoch, {column}, group_key, unit, total, matched, amount)"
            f" SELECT * FROM {_ADDED} ON CONFLICT (rule_id, epoch, {column}, group_key, unit)"
            " DO UPDATE SET total = kept.total + excluded.total, matched = kept.matched + excluded.matched,"
            " amount = kept.amount + excluded.amount"
        ),
        _ADDED.values(rows),
    )


def delete_expired(session: Session, rules: Iterable[Rule], now: datetime) -> None:
    """Delete counts that no window reaches any more, and those of deleted or restarted rules."""
    asked = list(rules)
    _delete_expired(session, "minute_counts", "minute", asked, now)
    _delete_expired(session, "hour_counts", "hour", [rule for rule in asked if has_hour_counts(rule)], now)


def _delete_expired(session: Session, table: str, column: str, rules: Sequence[Rule], now: datetime) -> None:
    session.execute(
        text(
            f"DELETE FROM {table} AS kept WHERE NOT EXISTS (SELECT FROM {_NEEDED}"
            " WHERE kept.rule_id = needed.rule_id AND kept.epoch = needed.epoch"
            f" AND kept.{column} >= needed.since)"
        ),
        _NEEDED.values([(rule.id, rule.epoch, now - count_retention(rule)) for rule in rules]),
    )


def count_retention(rule: Rule) -> timedelta:
    """Return how far back the counts of a rule are needed: its windows, and two days for catching up."""
    return rule.window * (1 + rule.condition.earlier_windows) + rule.settle_delay + timedelta(days=2)
