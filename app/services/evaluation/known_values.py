"""The values that matches of `new_value` rules have carried, kept apart from the logs as runs of each value."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.conditions.new_value import ValueRun, add_run
from app.services.rules.groups import field_of
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

LATE_ARRIVAL = timedelta(days=40)
"""A run that is older than the lookback is kept so much longer: logs may come late."""


class ValueKey(NamedTuple):
    """One value of one group."""

    rule_id: UUID
    group_key: str
    value: str
    """As JSON."""


Runs = dict[ValueKey, list[ValueRun]]


def value_of(rule: Rule, log: LogVersion) -> str | None:
    """Return the value that a log carries, as JSON; None for a missing one, which is no value."""
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
            "SELECT seen.rule_id, seen.group_key, seen.value, seen.since_at, seen.last_at FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]), CAST(:values AS text[]))"
            " AS asked (rule_id, epoch, group_key, value)"
            " JOIN seen_values AS seen USING (rule_id, epoch, group_key, value) ORDER BY seen.since_at"
        ),
        _columns(rules, list(runs)),
    )
    for rule_id, key, value, since_at, last_at in rows:
        runs[ValueKey(rule_id, key, value)].append(ValueRun(since_at, last_at))
    return runs


def add_runs(runs: Runs, rules: Mapping[UUID, Rule], added: Iterable[tuple[ValueKey, ValueRun]]) -> Runs:
    """Put more runs to those that are known, and return them."""
    for value_key, run in added:
        runs[value_key] = add_run(runs.get(value_key, []), run, rules[value_key.rule_id].condition.lookback)
    return runs


def save(session: Session, rules: Mapping[UUID, Rule], stored: Runs, updated: Runs) -> None:
    """Write what is known now of these values; the rules are locked."""
    deleted_rows = [
        (value_key, run)
        for value_key, runs in stored.items()
        for run in runs
        if run.since_at not in _starts(updated[value_key])
    ]
    new_rows = sorted(
        (value_key, run) for value_key, runs in updated.items() for run in runs if run not in stored.get(value_key, ())
    )
    if deleted_rows:
        session.execute(
            text(
                "DELETE FROM seen_values AS seen USING unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]),"
                " CAST(:keys AS text[]), CAST(:values AS text[]), CAST(:since AS timestamptz[]))"
                " AS gone (rule_id, epoch, group_key, value, since_at) WHERE seen.rule_id = gone.rule_id"
                " AND seen.epoch = gone.epoch AND seen.group_key = gone.group_key AND seen.value = gone.value"
                " AND seen.since_at = gone.since_at"
            ),
            _columns(rules, [value_key for value_key, _ in deleted_rows])
            | {"since": [run.since_at for _, run in deleted_rows]},
        )
    if new_rows:
        session.execute(
            text(
                "INSERT INTO seen_values (rule_id, epoch, group_key, value, since_at, last_at) SELECT * FROM"
                " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]),"
                " CAST(:values AS text[]), CAST(:since AS timestamptz[]), CAST(:last AS timestamptz[]))"
                " ON CONFLICT (rule_id, epoch, group_key, value, since_at) DO UPDATE SET last_at = excluded.last_at"
            ),
            _columns(rules, [value_key for value_key, _ in new_rows])
            | {"since": [run.since_at for _, run in new_rows], "last": [run.last_at for _, run in new_rows]},
        )


def _starts(runs: Sequence[ValueRun]) -> set[datetime]:
    return {run.since_at for run in runs}


def _columns(rules: Mapping[UUID, Rule], value_keys: Sequence[ValueKey]) -> dict[str, list[object]]:
    return {
        "rules": [value_key.rule_id for value_key in value_keys],
        "epochs": [rules[value_key.rule_id].epoch for value_key in value_keys],
        "keys": [value_key.group_key for value_key in value_keys],
        "values": [value_key.value for value_key in value_keys],
    }


def delete_expired(session: Session, rules: Iterable[Rule], now: datetime) -> None:
    """Delete the runs that no lookback reaches any more, and those of rules that are gone or began anew."""
    asked = list(rules)
    session.execute(
        text(
            "DELETE FROM seen_values AS seen WHERE NOT EXISTS (SELECT FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:since AS timestamptz[]))"
            " AS asked (rule_id, epoch, since) WHERE seen.rule_id = asked.rule_id AND seen.epoch = asked.epoch"
            " AND seen.last_at >= asked.since)"
        ),
        {
            "rules": [rule.id for rule in asked],
            "epochs": [rule.epoch for rule in asked],
            "since": [now - rule.condition.lookback - LATE_ARRIVAL for rule in asked],
        },
    )
