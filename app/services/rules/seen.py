"""The values that matches of `new_value` rules have carried, kept apart from the logs as runs of each value."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.conditions.new_value import Run, take_in
from app.services.rules.groups import field_of
from app.services.rules.types import LogVersion, NewValueParams, Rule

LATE = timedelta(days=40)
"""A run that is older than the lookback is kept so much longer: logs may come late."""


class Place(NamedTuple):
    """One value of one group."""

    rule_id: UUID
    group_key: str
    value: str
    """As JSON."""


Runs = dict[Place, list[Run]]


def lookback(rule: Rule) -> timedelta:
    """Return how far back a value is looked for."""
    assert isinstance(rule.params, NewValueParams)
    return timedelta(days=rule.params.lookback_days)


def value_of(rule: Rule, log: LogVersion) -> str | None:
    """Return the value that a log carries, as JSON; None for a missing one, which is no value."""
    assert isinstance(rule.params, NewValueParams)
    value = field_of(log, rule.params.field)
    return None if value is None else orjson.dumps(value).decode()


def load(session: Session, rules: Mapping[UUID, Rule], places: Iterable[Place]) -> Runs:
    """Read the runs of these values."""
    runs: Runs = {place: [] for place in places}
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
        runs[Place(rule_id, key, value)].append(Run(since_at, last_at))
    return runs


def learn(runs: Runs, rules: Mapping[UUID, Rule], more: Iterable[tuple[Place, Run]]) -> Runs:
    """Put more runs to those that are known, and return them."""
    for place, run in more:
        runs[place] = take_in(runs.get(place, []), run, lookback(rules[place.rule_id]))
    return runs


def save(session: Session, rules: Mapping[UUID, Rule], before: Runs, after: Runs) -> None:
    """Write what is known now of these values; the rules are locked."""
    gone = [(place, run) for place, runs in before.items() for run in runs if run.since_at not in _starts(after[place])]
    fresh = sorted((place, run) for place, runs in after.items() for run in runs if run not in before.get(place, ()))
    if gone:
        session.execute(
            text(
                "DELETE FROM seen_values AS seen USING unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]),"
                " CAST(:keys AS text[]), CAST(:values AS text[]), CAST(:since AS timestamptz[]))"
                " AS gone (rule_id, epoch, group_key, value, since_at) WHERE seen.rule_id = gone.rule_id"
                " AND seen.epoch = gone.epoch AND seen.group_key = gone.group_key AND seen.value = gone.value"
                " AND seen.since_at = gone.since_at"
            ),
            _columns(rules, [place for place, _ in gone]) | {"since": [run.since_at for _, run in gone]},
        )
    if fresh:
        session.execute(
            text(
                "INSERT INTO seen_values (rule_id, epoch, group_key, value, since_at, last_at) SELECT * FROM"
                " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]),"
                " CAST(:values AS text[]), CAST(:since AS timestamptz[]), CAST(:last AS timestamptz[]))"
                " ON CONFLICT (rule_id, epoch, group_key, value, since_at) DO UPDATE SET last_at = excluded.last_at"
            ),
            _columns(rules, [place for place, _ in fresh])
            | {"since": [run.since_at for _, run in fresh], "last": [run.last_at for _, run in fresh]},
        )


def _starts(runs: Sequence[Run]) -> set[datetime]:
    return {run.since_at for run in runs}


def _columns(rules: Mapping[UUID, Rule], places: Sequence[Place]) -> dict[str, list[object]]:
    return {
        "rules": [place.rule_id for place in places],
        "epochs": [rules[place.rule_id].epoch for place in places],
        "keys": [place.group_key for place in places],
        "values": [place.value for place in places],
    }


def forget(session: Session, rules: Iterable[Rule], now: datetime) -> None:
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
            "since": [now - lookback(rule) - LATE for rule in asked],
        },
    )
