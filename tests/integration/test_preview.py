"""Previews: equal to what live evaluation recorded over the same logs, and nothing written."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, count
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.models import Alert, Backfill, Stream
from app.services import rule_admin
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity
from app.services.logs.types import NormalizedLog
from app.services.preview import deadline, group_evaluator, log_reader
from app.services.preview.service import preview
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion
from app.services.serializers import rule_json
from app.utils.clock import rfc3339
from tests.conftest import forget
from tests.factories import make_log, make_rule
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.profiles import examples

END = START + timedelta(hours=12)
_accounts = count(1)
_numbers = count(1)


class PreviewCase:
    """One account, whose logs one rule looks at."""

    def __init__(self, until: datetime = END) -> None:
        self.until = until
        self.sid = f"AC{next(_accounts):032x}"
        self.feed = Feed(START - timedelta(days=60), self.sid)

    def body(self, **fields: Any) -> dict[str, Any]:
        plain = {"name": "Rule", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"}
        return plain | {"filters": {"account_sid": [self.sid]}} | fields

    def live(
        self, body: dict[str, Any], before: Sequence[NormalizedLog], batches: Sequence[Sequence[NormalizedLog]]
    ) -> list[Any]:
        """Evaluate the batches as they come, and give the alerts."""
        self.feed.store(list(before), START)
        evaluate(START)
        with session_scope() as session:
            rule = rule_admin.create(session, body, get_settings(), START)
            rule.started_at = START
            rule_id = rule.id
        for batch in batches:
            self.feed.store(list(batch), self.until)
            evaluate(self.until)
        self.feed.complete(self.until, START - timedelta(days=59))
        evaluate(self.until)
        with session_scope() as session:
            rows = session.scalars(select(Alert).where(Alert.rule_id == rule_id)).all()
            found = [(sorted(each.group.items()), each.started_at, each.resolved_at, each.occurrences) for each in rows]
            rule_admin.delete(session, rule_id, get_settings(), END)
        return sorted(found, key=repr)

    def previewed(self, body: dict[str, Any], **span: Any) -> dict[str, Any]:
        asked = {"since": rfc3339(START), "until": rfc3339(self.until)} | span
        with session_scope() as session:
            return preview(session, body | asked, get_settings(), self.until)

    def alerts(self, body: dict[str, Any]) -> list[Any]:
        """Give the alerts of the preview, in the form of `live`."""
        shown = self.previewed(body)["alerts"]
        found = [
            (sorted(each["group"].items()), _time(each["started_at"]), _time(each["resolved_at"]), each["occurrences"])
            for each in shown
        ]
        return sorted(found, key=repr)


def _time(shown: str | None) -> datetime | None:
    return None if shown is None else datetime.fromisoformat(shown)


@pytest.fixture
def case(database: str) -> PreviewCase:
    """A story whose streams are complete up to its end."""
    made = PreviewCase()
    made.feed.complete(END)
    evaluate(END)
    return made


class Drawn:
    """A log that a test draws: when it came into being, and its states."""

    def __init__(self, at: float, later: float, first: str, last: str, **rest: Any) -> None:
        self.number = next(_numbers)
        self.at, self.later, self.first, self.last = at, later, first, last
        self.rest = rest

    def versions(self) -> list[NormalizedLog]:
        """Its states, as polls would bring them."""
        made = [self._version(self.first, self.at)]
        if self.last != self.first:
            made.append(self._version(self.last, self.at + self.later))
        return made

    def _version(self, status: str, at: float) -> NormalizedLog:
        return log(self.number, minutes(self.at), status=status, changed_at=minutes(at), **self.rest)


STATUSES = ("queued", "sent", "delivered", "undelivered")
drawn = st.builds(
    Drawn,
    at=st.integers(0, 640).map(float) | st.floats(0, 640).map(lambda at: round(at * 60) / 60),
    later=st.integers(0, 60).map(float),
    first=st.sampled_from(STATUSES),
    last=st.sampled_from(STATUSES),
    error_code=st.sampled_from((None, 30003, 30007)),
    to_country=st.sampled_from(("GB", "US", None)),
    from_=st.sampled_from(("+1", "+2")),
)
earlier = drawn.map(lambda one: Drawn(one.at - 640 - 61, one.later, one.first, one.last, **one.rest))
by_match = st.one_of(
    st.just({"type": "each"}),
    st.builds(
        lambda number, window, lower: {
            "type": "threshold",
            "count": number,
            "window_minutes": window,
            "resolve_count": min(number, lower),
        },
        st.integers(1, 4),
        st.integers(1, 90),
        st.integers(1, 4),
    ),
    st.builds(
        lambda field: {"type": "new_value", "field": field, "lookback_days": 1},
        st.sampled_from(("to_country", "error_code", "from")),
    ),
)
patterns = st.sampled_from(
    (
        ("any", None),
        ("status", "undelivered"),
        ("status", "sent,undelivered"),
        ("error_code", "30000-30005"),
        ("error_code", "*"),
        ("keyword", "hello"),
        ("expression", 'log.status == "undelivered" && log.to_country == "GB"'),
    )
)
groups = st.lists(st.sampled_from(("to_country", "error_code", "from", "status")), unique=True, max_size=2)
slow_is_fine = settings(
    phases=(Phase.explicit, Phase.generate),
    max_examples=examples(4),
)


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(
    before=st.lists(earlier, max_size=5),
    after=st.lists(drawn, max_size=12),
    condition=by_match,
    pattern=patterns,
    group_by=groups,
    quiet=st.integers(0, 120),
    chance=st.randoms(use_true_random=False),
)
@slow_is_fine
def test_each_threshold_and_new_value_are_previewed_as_they_lived(
    database: str,
    before: list[Drawn],
    after: list[Drawn],
    condition: Any,
    pattern: Any,
    group_by: Any,
    quiet: int,
    chance: Any,
) -> None:
    case = PreviewCase()
    body = case.body(
        condition=condition,
        pattern_type=pattern[0],
        pattern_value=pattern[1],
        group_by=group_by,
        resolve_after_minutes=quiet,
    )
    batches = [[one.versions()[0] for one in after], [version for one in after for version in one.versions()[1:]]]
    for batch in batches:
        chance.shuffle(batch)
    if condition["type"] == "new_value":  # What is new depends on what is known: it comes as it happened.
        batches = [[version] for version in sorted(chain(*batches), key=lambda version: version.changed_at)]
    lived = case.live(body, [version for one in before for version in one.versions()[-1:]], batches)
    assert case.alerts(body) == lived


minute_conditions = st.one_of(
    st.builds(
        lambda percent, window, least, settle, lower: {
            "type": "ratio",
            "percent": percent,
            "window_minutes": window,
            "min_total": least,
            "settle_minutes": settle,
            "resolve_percent": percent / lower,
        },
        st.sampled_from((10, 50, 100)),
        st.integers(1, 30),
        st.integers(1, 3),
        st.integers(0, 10),
        st.sampled_from((1, 2, 4)),
    ),
    st.builds(
        lambda window, least: {"type": "no_data", "window_minutes": window, "min_count": least},
        st.integers(1, 60),
        st.integers(1, 2),
    ),
    st.builds(
        lambda window, least, factor: {
            "type": "spike",
            "factor": factor,
            "window_minutes": window,
            "baseline_windows": 3,
            "min_count": least,
        },
        st.integers(1, 20),
        st.integers(1, 3),
        st.sampled_from((1, 2)),
    ),
    st.builds(
        lambda window, least: {"type": "sum", "field": "price", "at_least": least, "window_minutes": window},
        st.integers(1, 60),
        st.sampled_from((0.0075, 0.02)),
    ),
)
soon = drawn.map(lambda one: Drawn(one.at / 5, 0, one.last, one.last, **one.rest))
just_before = drawn.map(lambda one: Drawn(one.at / 5 - 130, 0, one.last, one.last, **one.rest))


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(
    before=st.lists(just_before, max_size=6),
    after=st.lists(soon, max_size=20),
    condition=minute_conditions,
    pattern=patterns,
    group_by=st.lists(st.sampled_from(("to_country", "from")), unique=True, max_size=1),
)
@example(
    before=[],
    after=[
        Drawn(at, 0, status, status, error_code=None, to_country="GB", from_="+1")
        for at, status in ((0, "queued"), (0.2, "queued"), (0.2, "delivered"))
    ],
    condition={"type": "ratio", "percent": 10, "window_minutes": 1, "min_total": 1, "settle_minutes": 0},
    pattern=("any", None),
    group_by=[],
)  # An alert of a ratio names matches that are not final.
@settings(slow_is_fine, max_examples=examples(3))
def test_conditions_over_time_are_previewed_as_they_lived_where_all_logs_had_come(
    database: str, before: list[Drawn], after: list[Drawn], condition: Any, pattern: Any, group_by: Any
) -> None:
    case = PreviewCase(until=minutes(170))
    if condition["type"] == "no_data":  # The evaluation knows of all groups that came, were it later than the minute.
        group_by = []
    body = case.body(condition=condition, pattern_type=pattern[0], pattern_value=pattern[1], group_by=group_by)
    batches = [[version for one in after for version in one.versions()]]
    lived = case.live(body, [version for one in before for version in one.versions()], batches)
    assert case.alerts(body) == lived


def test_a_preview_writes_nothing_and_nothing_can_be_written_after_it(case: PreviewCase) -> None:
    case.feed.store([log(1, minutes(1))], START)
    evaluate(START)
    assert case.previewed(case.body())["matches"] == 1
    with session_scope() as session:
        assert session.scalars(select(Alert).where(Alert.rule_id.is_not(None))).all() == []
        assert session.scalar(text("SELECT count(*) FROM matches")) == 0
        preview(session, case.body() | {"since": rfc3339(START)}, get_settings(), END)
        assert session.scalar(text("SHOW transaction_read_only")) == "on"


def test_the_series_counts_population_and_matches_and_shows_when_it_fires(case: PreviewCase) -> None:
    case.feed.store([log(1, minutes(1)), log(2, minutes(2), status="delivered"), log(3, minutes(31))], START)
    shown = case.previewed(case.body(resolve_after_minutes=5), until=rfc3339(minutes(100)))
    assert (shown["population"], shown["matches"], len(shown["series"])) == (3, 2, 100)
    points = {
        point["at"]: (point["population"], point["matches"], point["value"], point["firing"])
        for point in shown["series"]
    }
    assert points[rfc3339(minutes(0))] == (0, 0, 0.0, False)
    assert points[rfc3339(minutes(1))] == (1, 1, 1.0, True)
    assert points[rfc3339(minutes(2))] == (1, 0, 0.0, True)
    assert points[rfc3339(minutes(6))] == (0, 0, 0.0, True)
    assert points[rfc3339(minutes(7))] == (0, 0, 0.0, False)
    assert points[rfc3339(minutes(31))] == (1, 1, 1.0, True)


def test_the_series_of_a_ratio_shows_the_percentage(case: PreviewCase) -> None:
    bad = [log(number, minutes(3)) for number in range(3)]
    good = [log(number, minutes(4), status="delivered", error_code=None) for number in range(3, 6)]
    going = [log(9, minutes(4), status="sent", error_code=None, final=False)]
    case.feed.store([*bad, *good, *going], START)
    condition = {"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 4, "settle_minutes": 5}
    shown = case.previewed(case.body(condition=condition), until=rfc3339(minutes(60)))
    assert shown["population"] == 6
    values = {point["at"]: point["value"] for point in shown["series"]}
    assert values[rfc3339(minutes(13))] is None
    assert values[rfc3339(minutes(14))] == 50.0
    assert [(each["started_at"], each["occurrences"]) for each in shown["alerts"]] == [(rfc3339(minutes(15)), 3)]


def test_stuck_logs_are_previewed(case: PreviewCase) -> None:
    slow = log(1, minutes(5), status="queued", error_code=None)
    case.feed.store([slow, log(2, minutes(6), status="queued", error_code=None)], START)
    case.feed.store([log(1, minutes(5), status="delivered", error_code=None, changed_at=minutes(60))], START)
    condition = {"type": "stuck", "older_than_minutes": 30, "min_count": 2}
    body = case.body(pattern_value="queued", condition=condition)
    assert case.alerts(body) == [([], minutes(36), minutes(60), 2)]


def test_a_preview_does_not_take_a_stalled_poll_for_silence(case: PreviewCase) -> None:
    case.feed.store([log(1, minutes(1))], START)
    case.feed.complete(minutes(40))
    evaluate(minutes(41))
    body = case.body(pattern_type="any", pattern_value=None, condition={"type": "no_data", "window_minutes": 60})
    assert case.alerts(body) == []
    case.feed.complete(minutes(100))
    evaluate(minutes(101))
    assert case.alerts(body) == [([], minutes(61), None, 0)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"since": None}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-23T06:09:00"}, "since"),
        ({"since": "0001-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-01T00:00:00Z"}, "since"),
        ({"until": "2026-11-23T06:09:00Z"}, "until"),
        ({"until": 5}, "until"),
        ({"condition": {"type": "threshold"}}, "condition.count"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_an_invalid_preview_is_rejected_at_its_field(case: PreviewCase, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        case.previewed(case.body() | {"since": "x"}, **{"since": rfc3339(START)} | fields)
    assert field in [error.field for error in raised.value.errors]


def test_more_logs_than_a_preview_looks_at_are_refused_with_the_limit(
    case: PreviewCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "MAX_ROWS", 2)
    case.feed.store([log(number, minutes(number)) for number in range(3)], START)
    with pytest.raises(InvalidInput, match="since: is too far back"):
        case.previewed(case.body())


def test_more_judgments_than_a_preview_makes_are_refused(case: PreviewCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_evaluator, "MAX_JUDGMENTS", 2)
    case.feed.store([log(number, minutes(number)) for number in range(3)], START)
    with pytest.raises(InvalidInput, match="since: is too far back"):
        case.previewed(case.body(condition={"type": "no_data", "window_minutes": 5}))


@pytest.mark.parametrize("condition", [{"type": "each"}, {"type": "ratio", "percent": 1, "window_minutes": 5}])
@pytest.mark.parametrize("pattern", [{}, {"pattern_type": "regex", "pattern_value": "parcel"}])
def test_a_preview_that_takes_too_long_is_refused_wherever_the_time_goes(
    case: PreviewCase, monkeypatch: pytest.MonkeyPatch, condition: dict[str, Any], pattern: dict[str, Any]
) -> None:
    case.feed.store([log(number, minutes(number)) for number in range(3)], START)
    monkeypatch.setattr(deadline, "MAX_SECONDS", 0)
    with pytest.raises(InvalidInput, match="since: is too far back: the preview takes longer"):
        case.previewed(case.body(condition=condition, **pattern))


def test_texts_are_read_some_at_a_time(case: PreviewCase, monkeypatch: pytest.MonkeyPatch) -> None:
    case.feed.store([log(number, minutes(number)) for number in range(5)], START)
    monkeypatch.setattr(log_reader, "CHUNK", 2)
    sizes: list[int] = []
    matching = log_reader.LogReader.matching

    def counting(reader: log_reader.LogReader, versions: Sequence[LogVersion]) -> list[bool]:
        sizes.append(len(versions))
        return matching(reader, versions)

    monkeypatch.setattr(log_reader.LogReader, "matching", counting)
    case.previewed(case.body(pattern_type="regex", pattern_value="parcel"))
    assert sizes == [2, 2, 1]


def test_a_rule_as_it_was_read_can_be_previewed(case: PreviewCase) -> None:
    with session_scope() as session:
        rule = rule_admin.create(session, case.body(), get_settings(), START)
        shown = rule_json(rule) | rule_admin.health(session, rule, get_settings())
    assert case.previewed(shown)["alerts"] == []


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(
    word=st.text("kKs\u017f\u212a%_\\ao", min_size=1, max_size=3),
    texts=st.lists(st.text("kKsS\u017f\u212a%_\\aoAO", max_size=6), min_size=1, max_size=6),
)
@slow_is_fine
def test_a_word_is_found_as_the_evaluation_finds_it(database: str, word: str, texts: list[str]) -> None:
    case = PreviewCase()
    made = [log(next(_numbers), minutes(number), text=each) for number, each in enumerate(texts)]
    case.feed.store(made, START)
    body = case.body(pattern_type="keyword", pattern_value=word)
    found = RuleIndex([make_rule(pattern_type="keyword", pattern_value=word)]).match_batch(
        [make_log(text=each, error_message=None) for each in texts]
    )
    assert case.previewed(body)["matches"] == sum(map(bool, found))


def test_a_preview_says_how_far_back_logs_go_and_takes_nothing_before_for_silence(case: PreviewCase) -> None:
    known = minutes(120)
    case.feed.complete(END, known)
    case.feed.store([log(number, minutes(120 + 10 * number)) for number in range(1, 30)], END)
    evaluate(END)
    silent = {"pattern_type": "any", "pattern_value": None, "condition": {"type": "no_data", "window_minutes": 30}}
    shown = case.previewed(case.body(**silent))
    assert (shown["known_since"], shown["judged_from"]) == (rfc3339(known), rfc3339(minutes(150)))
    assert [each["started_at"] for each in shown["alerts"]] == [rfc3339(minutes(440))]
    assert shown["judged_until"] == rfc3339(END)
    by_match = case.previewed(case.body())
    assert (by_match["judged_from"], by_match["judged_until"]) == (rfc3339(known), rfc3339(END))


def test_an_account_limits_nothing_from_before_it_was_added(case: PreviewCase) -> None:
    case.feed.complete(END, START)
    added = Feed(minutes(300), sid="AC" + "b" * 32)
    added.complete(END, minutes(200))
    silent = {"pattern_type": "any", "pattern_value": None, "condition": {"type": "no_data", "window_minutes": 30}}
    spike = {"condition": {"type": "spike", "factor": 3, "window_minutes": 30, "min_count": 3}}
    for body in ({}, silent):
        shown = case.previewed(case.body(filters={}, **body))
        assert (shown["known_since"], shown["limited_since_by"]) == (rfc3339(START), [])
    shown = case.previewed(case.body(filters={}, **spike))
    assert shown["known_since"] == rfc3339(minutes(200)), "its windows must hold the same accounts"
    assert [each["account_sid"] for each in shown["limited_since_by"]] == ["AC" + "b" * 32]
    only_added = {"filters": {"account_sid": ["AC" + "b" * 32]}}
    assert case.previewed(case.body(**only_added))["known_since"] == rfc3339(minutes(200))
    added.complete(END, minutes(400))
    shown = case.previewed(case.body(filters={}))
    assert shown["known_since"] == rfc3339(minutes(400)), "a gap since it was added counts"


def test_a_preview_names_the_accounts_that_could_not_be_read_for_a_while(case: PreviewCase) -> None:
    case.feed.complete(END, START)
    stalled = Feed(START, sid="AC" + "b" * 32)
    stalled.complete(END - timedelta(minutes=40), START)
    evaluate(END)
    shown = case.previewed(case.body(filters={}))
    assert shown["judged_until"] == rfc3339(END - timedelta(minutes=40))
    assert [each["account_sid"] for each in shown["limited_until_by"]] == ["AC" + "b" * 32]
    assert shown["limited_since_by"] == []


def test_a_ratio_says_how_many_windows_were_too_small(case: PreviewCase) -> None:
    logs = [log(number, minutes(60 + number / 10)) for number in range(50)] + [log(99, minutes(200))]
    case.feed.store(logs, END)
    evaluate(END)
    ratio = {"type": "ratio", "percent": 5, "window_minutes": 10, "min_total": 50, "settle_minutes": 0}
    windows = case.previewed(case.body(condition=ratio))["windows"]
    # Fifty logs lie in minutes 60 to 65: those windows hold them all that end from 65 to 69; the other log is alone.
    assert windows == {"count": 15 + 10, "too_small": 5 + 5 + 10}
    assert case.previewed(case.body(condition={"type": "each"}))["windows"] is None
    assert case.previewed(case.body(condition=ratio, filters={"to_country": ["FR"]}))["windows"]["count"] == 0


def test_a_preview_says_from_when_on_a_rule_made_now_would_be_judged(case: PreviewCase) -> None:
    case.feed.store([log(number, END - timedelta(minutes=number)) for number in range(1, 200)], END)
    evaluate(END)
    ratio = {"type": "ratio", "percent": 5, "window_minutes": 30, "settle_minutes": 10, "min_total": 1}
    shown = case.previewed(case.body(condition=ratio))
    first = rfc3339(END + timedelta(minutes=40))
    assert (shown["first_judged_at"], [each["not_before"] for each in shown["alerts"]]) == (first, [first])
    shown = case.previewed(case.body())
    assert (shown["first_judged_at"], [each["not_before"] for each in shown["alerts"]]) == (None, [None])


@pytest.mark.parametrize(
    ("spans", "silenced"),
    [
        ([], False),
        ([(0, 720)], True),
        ([(0, 70)], False),
        ([(0, 70), (70, 720)], True),
        ([(0, 70), (80, 720)], False),
        ([(61, 720)], False),
    ],
)
def test_alerts_that_silences_held_all_the_time_are_marked(
    case: PreviewCase, spans: list[tuple[int, int]], silenced: bool
) -> None:
    case.feed.store([log(1, minutes(60))], END)
    evaluate(END)
    with session_scope() as session:
        for since, until in spans:
            group = {"to_country": "GB"}
            silences.create(session, None, group, Validity(minutes(since), minutes(until), None), "", "a test", START)
    for group_by, held in ((["to_country"], silenced), ([], False)):
        shown = case.previewed(case.body(group_by=group_by))
        assert [each["silenced"] for each in shown["alerts"]] == [held]


def test_silences_of_the_rule_itself_hold_the_alerts_of_its_preview(case: PreviewCase) -> None:
    case.feed.store([log(1, minutes(60))], END)
    evaluate(END)
    with session_scope() as session:
        rule = rule_admin.create(session, case.body(), get_settings(), END)
        silences.create(session, rule.id, {}, Validity(START, END, None), "", "a test", START)
        body = rule_json(rule)
    assert [each["silenced"] for each in case.previewed(body)["alerts"]] == [True]
    assert [each["silenced"] for each in case.previewed(case.body())["alerts"]] == [False]


def test_a_span_read_by_a_backfill_is_known(case: PreviewCase) -> None:
    case.feed.complete(END, minutes(120))
    with session_scope() as session:
        for stream in session.scalars(select(Stream)):
            since, until = START - timedelta(days=3), minutes(300)
            times = {"read_from": until, "requested_at": END, "finished_at": END}
            session.add(Backfill(stream_id=stream.id, since=since, until=until, **times))
    shown = case.previewed(case.body())
    assert (shown["known_since"], shown["judged_from"]) == (rfc3339(START - timedelta(days=3)), rfc3339(START))


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"pattern_type": "keyword", "pattern_value": "hello"}, True),
        ({"pattern_type": "expression", "pattern_value": "log.text.contains('hello')"}, True),
        ({"pattern_type": "expression", "pattern_value": "log.error_code == 30003"}, False),
        ({"pattern_type": "keyword", "pattern_value": "hello", "log_type": "error", "filters": {}}, False),
    ],
)
def test_texts_that_are_not_stored_are_said(
    case: PreviewCase, environment: pytest.MonkeyPatch, fields: dict[str, Any], warned: bool
) -> None:
    assert case.previewed(case.body(**fields))["warnings"] == []
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    warnings = case.previewed(case.body(**fields))["warnings"]
    assert [warning["field"] for warning in warnings] == ["pattern_value"] * warned
