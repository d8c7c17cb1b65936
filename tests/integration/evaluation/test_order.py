"""Whatever the order, the batches and the repetitions in which logs arrive, the same alerts come of them."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.evaluation import change_queue, pipeline
from tests import reference
from tests.fakes import START
from tests.feeding import Feed, evaluate, log
from tests.profiles import examples

SPAN = 120
"""Minutes that the logs are spread over."""
CODES = [30003, 30007, 30008]
_accounts = count(1)

times = st.lists(st.tuples(st.integers(1, SPAN * 2), st.sampled_from(CODES)), min_size=1, max_size=12)
"""(half minutes after the start, code) of each log."""


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[list[int]], list[str]]:
    """Draw logs, the pages in which they arrive (repetitions among them), and what is done after each page."""
    logs = draw(times)
    order = draw(st.permutations(list(range(len(logs)))))
    order += draw(st.lists(st.sampled_from(range(len(logs))), max_size=4))
    pages: list[list[int]] = []
    while order:
        size = draw(st.integers(1, len(order)))
        pages.append(order[:size])
        order = order[size:]
    steps = [draw(st.sampled_from(["nothing", "batch", "time", "complete"])) for _ in pages]
    return logs, pages, steps


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_queue, "BATCH_SIZE", 3)


def run(
    condition: dict[str, Any], quiet: int, drawn: tuple[list[tuple[int, int]], list[list[int]], list[str]]
) -> list[reference.Expected]:
    """Let the logs arrive as drawn, and return the alerts that there are once all is complete."""
    made, pages, steps = drawn
    number = next(_accounts)
    feed = Feed(START - timedelta(days=1), sid=f"AC{number:032x}")
    with session_scope() as session:
        rule = rule_admin.create(
            session,
            {
                "name": "Rule",
                "log_type": "message",
                "pattern_type": "any",
                "condition": condition,
                "resolve_after_minutes": quiet,
                "filters": {"account_sid": [f"AC{number:032x}"]},
            },
            get_settings(),
            START,
        )
        rule.started_at = START
        rule_id = rule.id
    logs = [
        log(number * 1000 + index, START + timedelta(seconds=30 * half), error_code=code)
        for index, (half, code) in enumerate(made)
    ]
    arrived: set[int] = set()
    now = START + timedelta(minutes=3 * SPAN)
    for page, step in zip(pages, steps, strict=True):
        feed.store([logs[index] for index in page], now)
        arrived |= set(page)
        if step == "batch":
            pipeline.evaluate_batch(feed.stream_ids["message"], get_settings(), now)
        elif step == "time":
            evaluate(now)
        elif step == "complete":
            feed.complete(_complete_until(logs, arrived))
            evaluate(now)
    feed.complete(START + timedelta(days=10))
    evaluate(START + timedelta(days=10))
    with session_scope() as session:
        found = session.scalars(select(Alert).where(Alert.rule_id == rule_id).order_by(Alert.started_at)).all()
        answer = [
            reference.Expected(each.started_at, each.resolved_at, each.occurrences)
            for each in found
            if each.resolved_at is not None
        ]
        assert len(answer) == len(found)
        rule_admin.delete(session, rule_id, get_settings(), now)
    return answer


def _complete_until(logs: list[Any], arrived: set[int]) -> datetime:
    """Everything before the earliest log that is still to come has been listed."""
    missing = [each.changed_at for index, each in enumerate(logs) if index not in arrived]
    return min(missing, default=START + timedelta(minutes=SPAN)) - timedelta(seconds=1)


many = settings(
    max_examples=examples(5),
    phases=[Phase.explicit, Phase.generate],
)


def matches(drawn: tuple[list[tuple[int, int]], list[list[int]], list[str]]) -> list[reference.Match]:
    return [reference.Match(START + timedelta(seconds=30 * half), code) for half, code in drawn[0]]


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@many
@given(drawn=arrivals(), quiet=st.integers(0, 30))
def test_each_makes_the_same_alerts_in_any_order(
    database: str, small_batches: None, drawn: tuple[Any, Any, Any], quiet: int
) -> None:
    expected = reference.alerts(matches(drawn), timedelta(minutes=quiet))
    assert run({"type": "each"}, quiet, drawn) == expected


REACHED_BACK = (
    [(half, 30003) for half in (123, 200, 239, 79, 131, 231, 143, 33, 93, 162, 220, 16)],
    [[11, 0, 9, 6, 8, 1, 2, 4, 5], [7, 10, 3, 9]],
    ["nothing", "time"],
)
"""The window of an alert that fired at once reaches back into an episode that was found later."""


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@many
@given(
    drawn=arrivals(),
    quiet=st.integers(0, 30),
    number=st.integers(1, 4),
    window=st.integers(1, 20),
    lower=st.integers(1, 4),
)
@example(drawn=REACHED_BACK, quiet=23, number=2, window=18, lower=2)
def test_threshold_makes_the_same_alerts_in_any_order(
    database: str, small_batches: None, drawn: tuple[Any, Any, Any], quiet: int, number: int, window: int, lower: int
) -> None:
    left = min(number, lower)
    expected = reference.alerts(
        matches(drawn), timedelta(minutes=quiet), count=number, resolve_count=left, window=timedelta(minutes=window)
    )
    condition = {"type": "threshold", "count": number, "window_minutes": window, "resolve_count": left}
    assert run(condition, quiet, drawn) == expected


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@many
@given(drawn=arrivals(), quiet=st.integers(0, 30))
def test_new_value_makes_the_same_alerts_where_logs_arrive_in_their_order(
    database: str, small_batches: None, drawn: tuple[Any, Any, Any], quiet: int
) -> None:
    made, pages, steps = drawn
    order = sorted(range(len(made)), key=lambda index: made[index])
    sizes = [len(page) for page in pages]
    ordered: list[list[int]] = []
    for size in sizes:
        ordered.append(order[:size][::-1])  # within a page, Twilio's lists come newest first
        order = order[size:]
    expected = reference.alerts(matches(drawn), timedelta(minutes=quiet), lookback=timedelta(days=30))
    condition = {"type": "new_value", "field": "error_code", "lookback_days": 30}
    assert run(condition, quiet, (made, ordered, steps)) == expected
