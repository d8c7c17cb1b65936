"""The known values of `new_value` rules, stored as runs of matches."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.services.rules.conditions.new_value import ValueRun, add_run
from app.services.rules.groups import field_of
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

LATE_ARRIVAL = timedelta(days=40)
"""A run is kept for this long after the lookback: logs may arrive late."""

_VALUE = {"rule_id": "uuid", "epoch": "int", "group_key": "text", "value": "text"}
_ASKED = Unnest("asked", **_VALUE)
_GONE = Unnest("gone", **_VALUE, since_at="timestamptz")
_ADDED = Unnest("added", **_VALUE, since_at="timestamptz", last_at="timestamptz")
_NEEDED = Unnest("needed", rule_id="uuid", epoch="int", since="timestamptz")


class ValueKey(NamedTuple):
    """One value of one group."""

    rule_id: UUID
    group_key: str
    value: str
    """As JSON."""


Runs = dict[ValueKey, list[ValueRun]]


def value_of(rule: Rule, log: LogVersion) -> str | None:
    """Return a log's value as JSON; None if it is missing, which is no value."""
    field = rule.condition.watched_field
    value = None if field is None else field_of(log, field)
    return None if value is None else orjson.dumps(value).decode()


def load(session: Session, rules: Mapping[UUID, Rule], value_keys: Iterable[ValueKey]) -> Runs:
    """Read the runs of these values."""
    runs: Runs = {value_key: [] for value_key in value_keys}
    if not runs:
        return runs
    rows = session.execute(
        text(
            f"SELECT seen.rule_id, seen.group_key, seen.value, seen.since_at, seen.last_at FROM {_ASKED}"
            " JOIN seen_values AS seen USING (rule_id, epoch, group_key, value) ORDER BY seen.since_at"
        ),
        _ASKED.values([_identity(rules, value_key) for value_key in runs]),
    )
    for rule_id, key, value, since_at, last_at in rows:
        runs[ValueKey(rule_id, key, value)].append(ValueRun(since_at, last_at))
    return runs


def add_runs(runs: Runs, rules: Mapping[UUID, Rule], added: Iterable[tuple[ValueKey, ValueRun]]) -> Runs:
    """Add runs to the known ones, and return them."""
    for value_key, run in added:
        runs[value_key] = add_run(runs.get(value_key, []), run, rules[value_key.rule_id].condition.lookback)
    return runs


def save(session: Session, rules: Mapping[UUID, Rule], stored: Runs, updated: Runs) -> None:
    """Write the runs of these values. The rules are locked."""
    deleted_rows = [
        (value_key, run)
        for value_key, runs in stored.items()
        for run in runs
        if run.since_at not in _starts(updated[value_key])
    ]
    new_rows = sorted(
        (value_key, run) for value_key, runs in updated.items() for run in runs if run not in stored.get(value_key, ())
    )
    _delete_runs(session, [(*_identity(rules, value_key), run.since_at) for value_key, run in deleted_rows])
    _upsert_runs(session, [(*_identity(rules, value_key), *run) for value_key, run in new_rows])


def _delete_runs(session: Session, rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    session.execute(
        text(
            f"DELETE FROM seen_values AS seen USING {_GONE} WHERE seen.rule_id = gone.rule_id"
            " AND seen.epoch = gone.epoch AND seen.group_key = gone.group_key AND seen.value = gone.value"
            " AND seen.since_at = gone.since_at"
        ),
        _GONE.values(rows),
    )


def _upsert_runs(session: Session, rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    session.execute(
        text(
            f"INSERT INTO seen_values (rule_id, epoch, group_key, value, since_at, last_at) SELECT * FROM {_ADDED}"
            " ON CONFLICT (rule_id, epoch, group_key, value, since_at) DO UPDATE SET last_at = excluded.last_at"
        ),
        _ADDED.values(rows),
    )


def _starts(runs: Sequence[ValueRun]) -> set[datetime]:
    return {run.since_at for run in runs}


def _identity(rules: Mapping[UUID, Rule], value_key: ValueKey) -> tuple[UUID, int, str, str]:
    return value_key.rule_id, rules[value_key.rule_id].epoch, value_key.group_key, value_key.value


def delete_expired(session: Session, rules: Iterable[Rule], now: datetime) -> None:
    """Delete runs beyond the lookback, and those of deleted or restarted rules."""
    session.execute(
        text(
            f"DELETE FROM seen_values AS seen WHERE NOT EXISTS (SELECT FROM {_NEEDED}"
            " WHERE seen.rule_id = needed.rule_id AND seen.epoch = needed.epoch AND seen.last_at >= needed.since)"
        ),
        _NEEDED.values([(rule.id, rule.epoch, now - rule.condition.lookback - LATE_ARRIVAL) for rule in rules]),
    )
