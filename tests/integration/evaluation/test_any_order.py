"""Logs of all kinds arrive in any order, page by page, with repetitions and crashes; the reference says what must come.

A call's code comes from error entries, which arrive before it or after it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple
from unittest import mock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.alerts import changes
from app.services.evaluation import change_queue, pipeline
from app.services.logs.types import NormalizedLog
from tests import reference
from tests.fakes import START
from tests.feeding import Feed, evaluate, log
from tests.profiles import examples

HALF = timedelta(seconds=30)
NOW = START + timedelta(days=1)
KINDS = ("message", "call", "error")
_accounts = count(500_000)
_numbers = count(1)


class Crash(Exception):
    """The process ends here."""


class Version(NamedTuple):
    """One state of a log, as rules see it."""

    log: NormalizedLog
    code: int | None

    def field(self, name: str) -> object:
        return self.code if name == "error_code" else getattr(self.log, "from_" if name == "from" else name)


class Drawn:
    """A message with its states, or a call with the error entries about it, each in the order in which they arrive."""

    def __init__(self, kind: str, at: int, later: int, codes: list[int], country: str, sender: str) -> None:
        number = next(_numbers)
        made, became = START + at * HALF, START + (at + later) * HALF
        plain = {"to_country": country, "from_": sender}
        if kind == "call":
            called = log(number, made, log_type="call", status="failed", changed_at=became, error_code=None, **plain)
            about = {"log_type": "error", "resource_sid": called.sid}
            self.entries = [log(next(_numbers), became, error_code=code, **about) for code in codes]
            self.entries += [log(next(_numbers), became, error_code=12_345, level="warning", **about)]
            self.own = [called]
        else:
            self.entries = []
            self.own = [log(number, made, status="queued", error_code=None, changed_at=made, **plain)] if later else []
            code = codes[0] if codes else None
            self.own.append(log(number, made, changed_at=became, error_code=code, content_hash=number + 2**40, **plain))


drawn_logs = st.lists(
    st.builds(
        Drawn,
        st.sampled_from(["message", "call"]),
        st.integers(1, 240),
        st.integers(0, 20),
        st.lists(st.sampled_from([30003, 30007]), max_size=2),
        st.sampled_from(["GB", "US"]),
        st.sampled_from(["+1", "+2"]),
    ),
    min_size=1,
    max_size=10,
)
conditions = st.one_of(
    st.just({"type": "each"}),
    st.builds(
        lambda number, window, less: {
            "type": "threshold",
            "count": number,
            "window_minutes": window,
            "resolve_count": max(number - less, 1),
        },
        st.integers(1, 4),
        st.integers(1, 30),
        st.integers(0, 3),
    ),
    st.builds(
        lambda field: {"type": "new_value", "field": field, "lookback_days": 30},
        st.sampled_from(["to_country", "error_code", "from"]),
    ),
)
patterns = st.sampled_from([("any", None), ("error_code", "30003"), ("error_code", "*"), ("status", "failed,queued")])
groups = st.lists(st.sampled_from(["to_country", "error_code", "from"]), unique=True, max_size=2)


def matches(pattern: tuple[str, str | None], version: Version) -> bool:
    """Say what the patterns above mean."""
    kind, value = pattern
    if kind == "status":
        return version.log.status in (value or "").split(",")
    return kind == "any" or (version.code is not None and value in ("*", str(version.code)))


class Arrivals(RuleBasedStateMachine):
    """One rule over one account; `waits` holds, by log, what is still to arrive of it."""

    @initialize(
        made=drawn_logs,
        condition=conditions,
        pattern=patterns,
        group_by=groups,
        log_type=st.sampled_from(["message", "call", "any"]),
        quiet=st.integers(0, 40),
    )
    def begin(
        self,
        made: list[Drawn],
        condition: dict[str, Any],
        pattern: tuple[str, str | None],
        group_by: list[str],
        log_type: str,
        quiet: int,
    ) -> None:
        sid = f"AC{next(_accounts):032x}"
        self.feed = Feed(START - timedelta(days=1), sid=sid)
        self.condition, self.pattern, self.group_by = condition, pattern, group_by
        self.log_type, self.quiet = log_type, timedelta(minutes=quiet)
        self.queues = [queue for one in made for queue in [list(one.own), *([entry] for entry in one.entries)] if queue]
        self.arrived: list[NormalizedLog] = []
        self.evaluated: dict[str, list[Version]] = {}
        self.fired: set[tuple[str, datetime]] = set()
        # What fired at once is noted batch by batch: a batch of `new_value` takes in all that waits.
        change_queue.BATCH_SIZE = 5_000 if condition["type"] == "new_value" else 3
        body = {
            "name": "Rule",
            "log_type": log_type,
            "pattern_type": pattern[0],
            "pattern_value": pattern[1],
            "condition": condition,
            "group_by": group_by,
            "resolve_after_minutes": quiet,
            "filters": {"account_sid": [sid]},
        }
        with session_scope() as session:
            made_rule = rule_admin.create(session, body, get_settings(), START)
            made_rule.started_at = START
            self.rule_id = made_rule.id

    @precondition(lambda self: self.queues)
    @rule(data=st.data(), size=st.integers(1, 6))
    def arrive(self, data: st.DataObject, size: int) -> None:
        """Let a page of one type arrive: of each log at most its next state."""
        first = data.draw(st.sampled_from(range(len(self.queues))))
        kind = self.queues[first][0].log_type
        same = [queue for queue in self.queues if queue[0].log_type == kind]
        chosen = data.draw(st.permutations(range(len(same))))[:size]
        page = [same[index].pop(0) for index in chosen]
        self.queues = [queue for queue in self.queues if queue]
        self.feed.store(page, NOW)
        self.arrived += sorted(page, key=lambda each: (each.occurred_at, each.sid))

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.feed.store([data.draw(st.sampled_from(self.arrived))], NOW)

    @rule(kind=st.sampled_from(KINDS))
    def evaluate_batch(self, kind: str) -> None:
        pipeline.evaluate_batch(self.feed.stream_ids[kind], get_settings(), NOW)
        self.note_fired()

    def evaluate_all(self) -> None:
        for kind in KINDS:
            self.evaluate_batch(kind)
        evaluate(NOW)
        self.note_fired()

    @rule()
    def complete(self) -> None:
        """Say honestly how far all is read."""
        waiting = [queue[0].occurred_at for queue in self.queues]
        self.feed.complete(min(waiting, default=START + timedelta(hours=4)) - timedelta(seconds=1))

    @rule()
    def evaluate(self) -> None:
        self.evaluate_all()

    @rule(
        point=st.sampled_from(["before_commit", "after_commit", "between", "minute_before_commit"]),
        number=st.integers(1, 3),
    )
    def crash(self, point: str, number: int) -> None:
        """Evaluate, and end in the middle of it."""
        with crashing(f"evaluate.{point}", number):
            self.evaluate_all()
        self.note_fired()

    def teardown(self) -> None:
        if not hasattr(self, "rule_id"):
            return
        while self.queues:
            kind = self.queues[0][0].log_type
            page = [queue.pop(0) for queue in self.queues if queue[0].log_type == kind]
            self.queues = [queue for queue in self.queues if queue]
            self.feed.store(page, NOW)
            self.arrived += sorted(page, key=lambda each: (each.occurred_at, each.sid))
        self.feed.complete(NOW)
        self.evaluate_all()
        found = alerts_of(self.rule_id)
        with session_scope() as session:
            rule_admin.delete(session, self.rule_id, get_settings(), NOW)
        expected = self.expected()
        if not self.fired_too_early(found):
            assert found == expected

    def matched(self, logs: Mapping[str, list[Version]]) -> dict[str, list[reference.Match]]:
        """Match logs by the rule; by group."""
        found: dict[str, list[reference.Match]] = defaultdict(list)
        for states in logs.values():
            hit = next((each for each in states if matches(self.pattern, each)), None)
            if hit is not None:
                key = repr([hit.field(name) for name in sorted(self.group_by)])
                value = hit.field(self.condition.get("field", "error_code"))
                found[key].append(reference.Match(hit.log.changed_at, value, hit.log.sid))
        return found

    def states(self) -> dict[str, list[Version]]:
        """Give the states of each log that the rule looks at, in the order in which they were stored."""
        found: dict[str, list[Version]] = defaultdict(list)
        calls = {each.sid: each for each in self.arrived if each.log_type == "call"}
        entries: dict[str, list[NormalizedLog]] = defaultdict(list)
        for each in self.arrived:
            about = calls.get(each.resource_sid or "") if each.log_type == "error" and each.level == "error" else None
            if each.log_type == "call":
                found[each.sid].append(Version(each, None))
            elif about is not None:
                entries[about.sid].append(each)
            if each.log_type != "call":
                found[each.sid].append(Version(each, each.error_code))
        for sid, known in entries.items():
            position = self.arrived.index(calls[sid])
            before = [each for each in known if self.arrived.index(each) < position]
            ordered = sorted(before, key=lambda each: (each.occurred_at, each.sid))
            ordered += [each for each in known if self.arrived.index(each) > position]
            found[sid] += [Version(calls[sid], each.error_code) for each in ordered]
        wanted = {"message", "call", "error"} if self.log_type == "any" else {self.log_type}
        return {sid: states for sid, states in found.items() if states[0].log.log_type in wanted}

    def expected(self) -> list[tuple[str, reference.Expected]]:
        found = []
        for key, hits in self.matched(self.states()).items():
            alerts = reference.alerts(
                hits,
                self.quiet,
                count=self.condition.get("count", 1),
                resolve_count=self.condition.get("resolve_count"),
                window=timedelta(minutes=self.condition.get("window_minutes", 0)),
                lookback=timedelta(days=30) if self.condition["type"] == "new_value" else None,
            )
            found += [(key, each) for each in alerts]
        return sorted(found)

    def note_fired(self) -> None:
        """Note which alerts of `new_value` started with a value that is new, as far as is known so far."""
        if self.condition["type"] != "new_value":
            return
        with session_scope() as session:
            waiting = change_queue.pending_streams(session)
        done = {kind for kind in KINDS if self.feed.stream_ids[kind] not in waiting}
        self.evaluated |= {sid: states for sid, states in self.states().items() if states[0].log.log_type in done}
        starts = {(key, alert.started_at) for key, alert in alerts_of(self.rule_id, only_over=False)}
        self.fired |= starts & self.new_starts(self.evaluated)

    def new_starts(self, logs: Mapping[str, list[Version]]) -> set[tuple[str, datetime]]:
        lookback = timedelta(days=30)
        return {
            (key, hit.at)
            for key, hits in self.matched(logs).items()
            for hit in hits
            if reference.is_new(hit, hits, lookback)
        }

    def fired_too_early(self, found: list[tuple[str, reference.Expected]]) -> bool:
        """Say whether an alert fired at once for a value of which an earlier match came later: the one exception."""
        if self.condition["type"] != "new_value":
            return False
        starts = {(key, alert.started_at) for key, alert in found}
        return bool((starts & self.fired) - self.new_starts(self.states()))


def alerts_of(rule_id: UUID, *, only_over: bool = True) -> list[tuple[str, reference.Expected]]:
    with session_scope() as session:
        rows = session.scalars(select(Alert).where(Alert.rule_id == rule_id)).all()
    assert not only_over or all(row.resolved_at for row in rows)
    return sorted(
        (
            repr([row.group[name] for name in sorted(row.group)]),
            reference.Expected(row.started_at, row.resolved_at or NOW, row.occurrences),
        )
        for row in rows
    )


@contextmanager
def crashing(point: str, number: int) -> Iterator[None]:
    """End what runs in it at the n-th pass of a point, if there are so many."""
    passes = count(1)

    def crashpoint(name: str) -> None:
        if name == point and next(passes) == number:
            raise Crash

    with (
        mock.patch.object(pipeline, "crashpoint", crashpoint),
        mock.patch.object(changes, "crashpoint", crashpoint),
    ):
        try:
            yield
        except Crash:
            return


@pytest.mark.hunt
@pytest.mark.timeout(3600)
def test_the_same_alerts_come_of_the_same_logs_in_any_order_and_whatever_crashes(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_queue, "BATCH_SIZE", 3)  # and is put back after the test
    some = settings(
        max_examples=examples(4),
        stateful_step_count=14,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Arrivals, settings=some)
