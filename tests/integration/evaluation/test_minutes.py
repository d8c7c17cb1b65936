"""Conditions over time beside the reference: minutes are missed and made up, logs change and come late, in groups."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.logs.types import NormalizedLog
from tests import reference_minutes
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.profiles import examples
from tests.reference_minutes import ExpectedAlert, Known

LAST = 30
_accounts = count(700_000)
_numbers = count(1)


class State(NamedTuple):
    """A log comes into a status, and that arrives here some minutes later."""

    at: float
    status: str
    arrives: float


class Life(NamedTuple):
    """One message."""

    number: int
    country: str
    states: list[State]

    def record(self, state: State) -> NormalizedLog:
        return log(
            self.number,
            minutes(self.states[0].at),
            status=state.status,
            changed_at=minutes(state.at),
            to_country=self.country,
            price=Decimal("-0.01") if state.status in ("delivered", "undelivered") else None,
            content_hash=self.number * 10 + self.states.index(state),
        )

    def known(self, at: float, reads: dict[int, float]) -> Known | None:
        """Say how it stands by what has arrived."""
        arrived = [state for state in self.states if state.arrives <= at]
        if not arrived:
            return None
        matching = [state for state in arrived if state.status in ("queued", "undelivered")]
        return Known(
            self.country,
            self.states[0].at,
            arrived[-1].status in ("queued", "undelivered"),
            arrived[-1].status != "queued",
            0.01 if arrived[-1].status != "queued" else 0.0,
            matching[0].at if matching else None,
            reads[self.number],
        )


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Draw a message that is queued, or final at once, and may become final later; each state arrives in its turn."""
    at = draw(st.integers(2, 2 * LAST)) / 2
    late = draw(st.sampled_from([0, 0, 0, 1, 7]))
    states = [State(at, draw(st.sampled_from(["queued", "delivered", "undelivered"])), at + late)]
    if states[0].status == "queued" and draw(st.booleans()):
        later = at + draw(st.integers(1, 30))
        status = draw(st.sampled_from(["delivered", "undelivered"]))
        states.append(State(later, status, max(later, at + late + 1) + draw(st.sampled_from([0, 2]))))
    return Life(next(_numbers), draw(st.sampled_from(["GB", "GB", "US"])), states)


windows = st.integers(1, 15)
conditions = st.one_of(
    st.builds(
        lambda window, least, percent, settle, lower: {
            "type": "ratio",
            "percent": percent,
            "window_minutes": window,
            "min_total": least,
            "settle_minutes": settle,
            "resolve_percent": percent / lower,
        },
        windows,
        st.integers(1, 3),
        st.sampled_from([10, 50, 100]),
        st.integers(0, 5),
        st.sampled_from([1, 2, 4]),
    ),
    st.builds(
        lambda window, least: {"type": "no_data", "window_minutes": window, "min_count": least},
        windows,
        st.integers(1, 2),
    ),
    st.builds(
        lambda window, factor, least: {
            "type": "spike",
            "factor": factor,
            "window_minutes": window,
            "baseline_windows": 3,
            "min_count": least,
        },
        windows,
        st.sampled_from([1, 2]),
        st.integers(1, 3),
    ),
    st.builds(
        lambda age, least: {"type": "stuck", "older_than_minutes": age, "min_count": least},
        windows,
        st.integers(1, 2),
    ),
    st.builds(
        lambda window, least: {"type": "sum", "field": "price", "at_least": least, "window_minutes": window},
        windows,
        st.sampled_from([0.01, 0.02, 0.03]),
    ),
)
looks = st.sets(st.integers(1, LAST), min_size=1, max_size=8)


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(3),
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@example(  # the sum of a window is known only after the window was judged
    made=[Life(1, "GB", [State(13.5, "undelivered", 20.5)]), Life(2, "GB", [State(26.5, "undelivered", 26.5)])],
    condition={"type": "sum", "field": "price", "at_least": 0.01, "window_minutes": 2},
    grouped=True,
    looked={14, 15, 18},
)
@example(  # one match is enough, and silence is told of again after it
    made=[Life(1, "GB", [State(13.5, "undelivered", 13.5)])],
    condition={"type": "no_data", "window_minutes": 2, "min_count": 1},
    grouped=False,
    looked={14, 18},
)
@example(  # too few logs resolve after two windows
    made=[Life(1, "GB", [State(10, "undelivered", 10)]), Life(2, "US", [State(11, "queued", 11)])],
    condition={
        "type": "ratio",
        "percent": 50,
        "window_minutes": 2,
        "min_total": 1,
        "settle_minutes": 0,
        "resolve_percent": 50,
    },
    grouped=True,
    looked={11, 20},
)
@given(made=st.lists(lives(), max_size=14), condition=conditions, grouped=st.booleans(), looked=looks)
def test_each_minute_is_judged_once_by_what_is_stored_when_the_streams_are_complete(
    database: str, made: list[Life], condition: dict[str, Any], grouped: bool, looked: set[int]
) -> None:
    sid = f"AC{next(_accounts):032x}"
    feed = Feed(START - timedelta(days=2), sid=sid)
    feed.complete(minutes(0), since=minutes(-2000))
    body = {
        "name": "Rule",
        "log_type": "message",
        "pattern_type": "status",
        "pattern_value": "queued,undelivered",
        "condition": condition,
        "group_by": ["to_country"] if grouped else [],
        "filters": {"account_sid": [sid]},
    }
    with session_scope() as session:
        rule = rule_admin.create(session, body, get_settings(), START)
        rule.started_at = START
        rule_id = rule.id
    reads: dict[int, float] = {}
    seen: list[tuple[int, list[Known]]] = []
    before = 0.0
    for at in sorted({*looked, LAST}):
        arriving = [(state.arrives, life, state) for life in made for state in life.states]
        for _, life, state in sorted(each for each in arriving if before < each[0] <= at):
            feed.store([life.record(state)], minutes(state.arrives))
            reads[life.number] = state.arrives
        feed.complete(minutes(at))
        evaluate(minutes(at))
        known = [stands for life in made if (stands := life.known(at, reads)) is not None]
        seen.append((at, known if grouped else [_ungrouped(each) for each in known]))
        before = at
    settle = condition.get("settle_minutes", 0)
    expected = reference_minutes.alerts(condition, grouped, condition.get("window_minutes", 0) + settle, seen)
    with session_scope() as session:
        rows = session.scalars(select(Alert).where(Alert.rule_id == rule_id)).all()
        found = [
            ExpectedAlert(row.group.get("to_country", ""), _minute(row.started_at), _minute(row.resolved_at))
            for row in rows
        ]
        rule_admin.delete(session, rule_id, get_settings(), minutes(LAST))
    assert sorted(found, key=repr) == expected


def _ungrouped(log: Known) -> Known:
    return Known("", log.occurred, log.matches, log.final, log.amount, log.first_matched, log.read)


def _minute(at: datetime | None) -> Any:
    return None if at is None else int((at - START) / timedelta(minutes=1))
