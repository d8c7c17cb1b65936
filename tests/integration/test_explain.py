"""Why a rule took a log or did not: each verdict as a story, and random stories held against what really happened."""

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from app.config import get_settings
from app.database import session_scope
from app.errors import NotFound
from app.models import Alert, Delivery, Log, Match
from app.services.alerts import manual
from app.services.alerts.withholding import withheld
from app.services.evaluation import group_slots
from app.services.explain.service import explain
from app.services.explain.steps import Explanation, StepName, Verdict
from app.services.explain.survey import survey_rules
from app.services.logs import alert_logs, log_rows, store
from app.services.logs.types import NormalizedLog
from app.services.outbox import bundle
from tests.conftest import forget
from tests.fakes import START, minutes
from tests.feeding import POLICY, Feed, evaluate, log
from tests.integration.alerts.stories import (
    change_rule,
    fail_at,
    make_action,
    make_rule,
    only_alert,
    pass_time,
    silence,
)
from tests.profiles import examples

NIGHT = {"timezone": "UTC", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "05:00"}


@pytest.fixture
def feed(database: str) -> Feed:
    feed = Feed(START - timedelta(days=10))
    feed.complete(START, START - timedelta(days=10))
    return feed


def sid(number: int) -> str:
    return f"SM{number:032x}"


def explained(number: int, rule_id: UUID, at: float = 60) -> Explanation:
    with session_scope() as session:
        return explain(session, sid(number), rule_id, get_settings(), minutes(at))


def passed(explanation: Explanation) -> dict[str, bool | None]:
    return {each.step: each.passed for each in explanation.steps}


def detail(explanation: Explanation, step: StepName) -> str:
    (found,) = (each.detail for each in explanation.steps if each.step == step)
    return found


def test_the_states_of_a_log_without_a_code_are_listed_together(feed: Feed) -> None:
    rule_id = make_rule()
    for at, status in enumerate(("accepted", "sent", "delivered")):
        feed.store([log(60, minutes(1), status=status, error_code=None)], minutes(1 + at))
    told = detail(explained(60, rule_id), StepName.PATTERN)
    assert told.endswith("it does not match, with statuses accepted, sent, delivered, no error code.")


def test_a_log_outside_the_population(feed: Feed) -> None:
    rule_id = make_rule(filters={"direction": ["inbound"], "to_country": ["GB"]})
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)) == (Verdict.NOT_IN_POPULATION, {"rule": True, "population": False})
    assert "direction is outbound-api, not inbound" in detail(found, StepName.POPULATION)
    calls = make_rule(log_type="call", pattern_type="any", pattern_value=None)
    assert "logs of the type call; this is one of the type message" in detail(explained(60, calls), StepName.POPULATION)


def test_a_log_that_the_pattern_does_not_match(feed: Feed) -> None:
    rule_id = make_rule(pattern_type="error_code", pattern_value="30005")
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["pattern"]) == (Verdict.NO_MATCH, False)
    assert "error code 30003" in detail(found, StepName.PATTERN)


def test_a_pattern_that_fails_on_the_log_says_why(feed: Feed) -> None:
    rule_id = make_rule(pattern_type="expression", pattern_value="log.error_message.startsWith('x')")
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert found.verdict == Verdict.NO_MATCH
    assert detail(found, StepName.PATTERN).startswith("The expression failed on a log")


def test_all_rules_of_its_type_say_what_kept_them_from_a_log_the_nearest_first(feed: Feed) -> None:
    made = {
        "Disabled": make_rule(name="Disabled", enabled=False),
        "Elsewhere": make_rule(name="Elsewhere", filters={"to_country": ["FR"]}),
        "Another code": make_rule(name="Another code", pattern_type="error_code", pattern_value="30005"),
        "Later": make_rule(name="Later"),
        "Takes it": make_rule(name="Takes it", log_type="any"),
    }
    make_rule(name="Calls", log_type="call")
    change_rule(made["Later"], 3, pattern_value="undelivered,failed")
    fail_at(feed, 1)
    with session_scope() as session:
        found = survey_rules(session, sid(60), get_settings())
    assert [(each.name, each.stopped_by and each.stopped_by.step) for each in found] == [
        ("Takes it", None),
        ("Later", StepName.START),
        ("Another code", StepName.PATTERN),
        ("Elsewhere", StepName.POPULATION),
        ("Disabled", StepName.RULE),
    ]
    assert {each.rule_id for each in found} == set(made.values())
    change_rule(made["Takes it"], 4, enabled=False)
    with session_scope() as session:
        found = survey_rules(session, sid(60), get_settings())
    assert (found[0].name, found[0].stopped_by) == ("Takes it", None), "it has taken it"


def test_an_erased_text_is_said(feed: Feed, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    rule_id = make_rule(pattern_type="keyword", pattern_value="hello")
    other_id = make_rule(pattern_type="keyword", pattern_value="bye")
    fail_at(feed, 1)
    with session_scope() as session:
        assert session.scalars(select(Log.text_)).all() == [None]
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["pattern"]) == (Verdict.TOLD, None)
    other = explained(60, other_id)
    assert (other.verdict, passed(other)["pattern"]) == (Verdict.NO_MATCH, False)
    assert "It did not match when it was evaluated" in detail(other, StepName.PATTERN)


@pytest.mark.parametrize(
    "pattern",
    [
        {"pattern_type": "keyword", "pattern_value": "hello"},
        {"pattern_type": "expression", "pattern_value": "log.text.contains('hello')"},
        {"pattern_type": "expression", "pattern_value": "log.text != 'bye'"},
    ],
)
def test_a_text_that_was_erased_before_the_rule_is_not_judged(
    feed: Feed, environment: pytest.MonkeyPatch, pattern: dict[str, str]
) -> None:
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    fail_at(feed, 4, arriving=1)
    rule_id = make_rule(**pattern)
    change_rule(rule_id, 3, filters={"direction": ["outbound-api"]})
    found = explained(240, rule_id)
    assert (found.verdict, passed(found)["pattern"]) == (Verdict.UNKNOWN, None)
    assert "cannot be said" in detail(found, StepName.PATTERN)
    change_rule(rule_id, 5, filters={})
    found = explained(240, rule_id)
    assert (found.verdict, passed(found)["pattern"], passed(found)["start"]) == (Verdict.TOO_EARLY, None, False)
    change_rule(rule_id, 6, enabled=False)
    assert explained(240, rule_id).verdict == Verdict.TOO_EARLY


def test_an_expression_without_the_text_is_judged_when_texts_are_erased(
    feed: Feed, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    fail_at(feed, 4, arriving=1)
    rule_id = make_rule(pattern_type="expression", pattern_value="log.error_code == 30005")
    assert explained(240, rule_id).verdict == Verdict.NO_MATCH


def test_a_change_before_the_rule_started(feed: Feed) -> None:
    rule_id = make_rule()
    change_rule(rule_id, 5, filters={"to_country": ["GB"]})
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["start"]) == (Verdict.TOO_EARLY, False)


def test_a_log_that_is_not_evaluated_yet(feed: Feed) -> None:
    rule_id = make_rule()
    feed.store([log(1, minutes(1))], minutes(1))
    found = explained(1, rule_id)
    assert (found.verdict, passed(found)["evaluation"]) == (Verdict.WAITING, None)


def test_fewer_matches_than_the_count(feed: Feed) -> None:
    rule_id = make_rule(condition={"type": "threshold", "count": 5, "window_minutes": 10})
    fail_at(feed, 1, 2, 8)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert detail(found, StepName.CONDITION) == (
        "1 of 5 matches within 10 minutes when it came; the fullest window that holds it had 3."
    )


def test_explaining_an_alert_and_its_receivers(feed: Feed) -> None:
    make_action()
    rule_id = make_rule(condition={"type": "threshold", "count": 2, "window_minutes": 10}, group_by=["to_country"])
    fail_at(feed, 1, 2)
    found = explained(60, rule_id)
    assert found.verdict == Verdict.TOLD
    assert passed(found) == {
        "rule": True,
        "population": True,
        "pattern": True,
        "start": True,
        "evaluation": True,
        "group": True,
        "condition": True,
        "alert": True,
        "told": None,
    }
    assert "hooks.example.com/giftpulse is pending" in detail(found, StepName.TOLD)
    with session_scope() as session:
        session.execute(update(Delivery).values(status="failed"))
    assert passed(explained(60, rule_id))["told"] is False


def test_without_an_action_nobody_is_notified(feed: Feed) -> None:
    rule_id = make_rule()
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (passed(found)["told"], detail(found, StepName.TOLD)) == (
        False,
        "No enabled action wanted its notification.",
    )


def test_the_next_escalation_is_shown(feed: Feed) -> None:
    make_action(after_minutes=30)
    rule_id = make_rule()
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert passed(found)["told"] is None
    told = detail(found, StepName.TOLD)
    assert told.startswith("It escalates if nobody acknowledges it: the webhook action to hooks.example.com at ")
    assert told.endswith("at 23 Nov 2026, 06:40:00 UTC.")


def test_explaining_a_schedule_that_prevents_an_alert(feed: Feed) -> None:
    rule_id = make_rule(schedule=NIGHT)
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["schedule"]) == (Verdict.COUNTED, False)


def test_a_silence_holds_notifications_back(feed: Feed) -> None:
    make_action()
    rule_id = make_rule()
    silence(0, 5, rule_id)
    fail_at(feed, 1)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["silence"], passed(found)["told"]) == (Verdict.ALERTED, False, False)


def test_a_firing_that_is_held_in_its_bundle_says_by_what(feed: Feed) -> None:
    make_action(bundle_seconds=60)
    rule_id = make_rule()
    fail_at(feed, 1)
    silence(1.5, 5, rule_id)
    with session_scope() as session:
        bundle.release_due(session, get_settings(), withheld, minutes(2))
    found = explained(60, rule_id)
    assert passed(found)["told"] is None
    assert detail(found, StepName.TOLD).endswith("is held by a silence.")


def test_explaining_an_acknowledgement_and_a_cooldown(feed: Feed) -> None:
    make_action()
    rule_id = make_rule(resolve_after_minutes=1, cooldown_minutes=60)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(1.5))
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["acknowledged"]) == (Verdict.TOLD, True)
    said = "ann acknowledged it at 23 Nov 2026, 06:10:30 UTC: no updates from then on"
    assert detail(found, StepName.ACKNOWLEDGED) == f"{said}."
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(1.5), minutes(30))
    assert detail(explained(60, rule_id), StepName.ACKNOWLEDGED) == f"{said} until 23 Nov 2026, 06:39:00 UTC."
    pass_time(feed, 10)
    fail_at(feed, 11)
    found = explained(660, rule_id)
    assert (found.verdict, passed(found)["cooldown"]) == (Verdict.ALERTED, None)
    assert "this one notifies at 23 Nov 2026, 07:10:00 UTC" in detail(found, StepName.COOLDOWN)


def test_explaining_a_rule_that_was_edited_or_disabled(feed: Feed) -> None:
    rule_id = make_rule()
    fail_at(feed, 1)
    change_rule(rule_id, 5, enabled=False)
    found = explained(60, rule_id)
    assert (found.verdict, passed(found)["rule"]) == (Verdict.TOLD, False)
    change_rule(rule_id, 6, enabled=True, pattern_value="failed")
    found = explained(60, rule_id)
    assert found.verdict == Verdict.TOLD
    assert "it was edited or enabled since" in detail(found, StepName.RULE)
    disabled = make_rule(enabled=False)
    assert explained(60, disabled).verdict == Verdict.DISABLED


def test_a_condition_over_time_says_its_value(feed: Feed) -> None:
    condition = {"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 4, "settle_minutes": 5}
    rule_id = make_rule(condition=condition)
    good = {"status": "delivered", "error_code": None}
    feed.store([log(number, minutes(20.1), **(good if number > 3 else {})) for number in range(1, 9)], minutes(21))
    evaluate(minutes(21))
    assert explained(1, rule_id).verdict == Verdict.WAITING
    pass_time(feed, 60)
    found = explained(1, rule_id)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert detail(found, StepName.CONDITION).endswith("the value was 37.5, and the limit is 50.")


SENT: dict[str, Any] = {"status": "sent", "error_code": None}


def test_a_log_that_is_or_was_stuck(feed: Feed) -> None:
    rule_id = make_rule(
        pattern_type="any", pattern_value=None, condition={"type": "stuck", "older_than_minutes": 10, "min_count": 2}
    )
    feed.store([log(1, minutes(1), **SENT)], minutes(1))
    pass_time(feed, 5)
    found = explained(1, rule_id, 5)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.WAITING, None)
    assert detail(found, StepName.CONDITION) == "It is not final. It counts once it is read again after 10 minutes."
    read_again(feed, 1, 12)
    pass_time(feed, 13)
    found = explained(1, rule_id, 13)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert detail(found, StepName.CONDITION) == (
        "1 not final after 10 minutes at 23 Nov 2026, 06:22:00 UTC, and the limit is 2."
    )
    feed.store([log(2, minutes(2), **SENT)], minutes(12))
    read_again(feed, 2, 14)
    pass_time(feed, 15)
    for number in (1, 2):
        assert (explained(number, rule_id, 15).verdict) == Verdict.TOLD
        assert passed(explained(number, rule_id, 15))["condition"] is True
    feed.store([log(3, minutes(3), **SENT)], minutes(4))
    feed.store([log(3, minutes(3), changed_at=minutes(5))], minutes(16))
    pass_time(feed, 16)
    found = explained(3, rule_id, 16)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert "became final at 23 Nov 2026, 06:14:00 UTC" in detail(found, StepName.CONDITION)


def read_again(feed: Feed, number: int, at: float) -> None:
    """Read a log again that has not changed."""
    with session_scope() as session:
        known = log_rows.lookup(session, feed.account_id, [sid(number)])
        store.mark_read(session, known.values(), minutes(at), POLICY)


def test_silence_is_judged_from_the_first_whole_window_on(feed: Feed) -> None:
    rule_id = make_rule(
        pattern_type="any", pattern_value=None, condition={"type": "no_data", "window_minutes": 10, "min_count": 2}
    )
    feed.store([log(1, minutes(1)), log(2, minutes(3))], minutes(3))
    pass_time(feed, 20)
    found = explained(1, rule_id, 20)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert detail(found, StepName.CONDITION) == "At 23 Nov 2026, 06:19:00 UTC the value was 2, and the limit is 2."


def test_an_amount_is_shown_to_the_hundredth_of_a_cent(feed: Feed) -> None:
    rule_id = make_rule(
        pattern_type="any",
        pattern_value=None,
        condition={"type": "sum", "field": "price", "at_least": 0.0095, "window_minutes": 10},
    )
    feed.store([log(1, minutes(11))], minutes(12))
    pass_time(feed, 40)
    found = explained(1, rule_id, 40)
    assert (found.verdict, passed(found)["condition"]) == (Verdict.COUNTED, False)
    assert detail(found, StepName.CONDITION).endswith("the value was 0.0075, and the limit is 0.0095.")


def test_an_alert_that_another_explains(feed: Feed) -> None:
    make_action()
    cause = make_rule(pattern_value="failed")
    rule_id = make_rule(depends_on=[str(cause)])
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    found = explained(120, rule_id)
    assert (found.verdict, passed(found)["dependency"], passed(found)["told"]) == (Verdict.ALERTED, False, False)


def test_an_alert_about_something_old(feed: Feed) -> None:
    make_action()
    rule_id = make_rule()
    fail_at(feed, 1, arriving=60 * 30)
    found = explained(60, rule_id, 60 * 31)
    assert (found.verdict, passed(found)["late"], passed(found)["told"]) == (Verdict.ALERTED, False, False)
    assert "too late to notify" in detail(found, StepName.LATE)


def test_a_group_beyond_the_most_that_are_counted_apart(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_slots, "MAX_GROUPS", 1)
    rule_id = make_rule(group_by=["to_country"])
    fail_at(feed, 1, to_country="GB")
    fail_at(feed, 2, to_country="US")
    assert detail(explained(60, rule_id), StepName.GROUP) == "It counts in the group to_country GB."
    assert "in the one of all others" in detail(explained(120, rule_id), StepName.GROUP)
    assert explained(120, rule_id).verdict == Verdict.TOLD


def test_a_missing_setting_is_reported(feed: Feed) -> None:
    rule_id = make_rule()
    fail_at(feed, 1)
    for number, wanted in ((60, uuid4()), (61, rule_id)):
        with pytest.raises(NotFound):
            explained(number, wanted)


CONDITIONS: Sequence[dict[str, Any]] = [
    {"type": "each"},
    {"type": "threshold", "count": 3, "window_minutes": 5},
    {"type": "threshold", "count": 6, "window_minutes": 20},
    {"type": "new_value", "field": "to_country", "lookback_days": 1},
    {"type": "ratio", "percent": 40, "window_minutes": 10, "min_total": 3, "settle_minutes": 0},
    {"type": "spike", "factor": 2, "window_minutes": 5, "baseline_windows": 2, "min_count": 2},
]


def random_logs(random: Random) -> list[NormalizedLog]:
    made = []
    for number in range(1, 60):
        status = random.choice(["undelivered", "delivered", "failed"])
        made.append(
            log(
                number,
                minutes(random.uniform(-20, 100)),
                status=status,
                error_code=None if status == "delivered" else random.choice([30003, 30005]),
                to_country=random.choice(["GB", "US"]),
                direction=random.choice(["outbound-api", "inbound"]),
            )
        )
    return made


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(examples(8)))
def test_explanations_agree_with_what_really_happened(feed: Feed, seed: int) -> None:
    random = Random(seed)
    make_action(min_severity=random.choice(["info", "critical"]))
    condition = CONDITIONS[seed % len(CONDITIONS)]
    rule_id = make_rule(
        condition=condition,
        filters=random.choice([{}, {"direction": ["outbound-api"]}]),
        pattern_value=random.choice(["undelivered", "undelivered,failed"]),
        group_by=random.choice([[], ["to_country"]]),
        resolve_after_minutes=random.choice([1, 20]),
        cooldown_minutes=random.choice([0, 15]),
    )
    logs = sorted(random_logs(random), key=lambda each: each.occurred_at)
    for page in (logs[:30], logs[30:]):
        now = max(0.0, (page[-1].occurred_at - START) / timedelta(minutes=1)) + 1
        feed.store(page, minutes(now))
        pass_time(feed, now)
    pass_time(feed, 200)
    with session_scope() as session:
        matched = set(session.scalars(select(Match.sid).where(Match.rule_id == rule_id)))
        alerts = {alert.id: alert for alert in session.scalars(select(Alert).where(Alert.rule_id == rule_id))}
        told = set(session.scalars(select(Delivery.alert_id).where(Delivery.type == "alert.firing")))
        counted: dict[str, list[UUID]] = {}
        for alert_id in alerts:
            for row in alert_logs.logs_of_alert(session, alert_id, None, 1000).items:
                counted.setdefault(row.sid, []).append(alert_id)
    for number in range(1, 60):
        found = explained(number, rule_id, 200)
        steps = passed(found)
        taken = all(steps.get(step) for step in ("rule", "population", "pattern", "start", "evaluation"))
        assert taken == (sid(number) in matched), (number, found)
        with session_scope() as session:
            (outcome,) = survey_rules(session, sid(number), get_settings())
        failed = next((each for each in found.steps if not each.passed), None)
        assert outcome.stopped_by == (None if taken else failed), number
        own = counted.get(sid(number), [])
        assert (found.verdict in (Verdict.ALERTED, Verdict.TOLD)) == bool(own), (number, found)
        if not own:
            assert steps.get("condition") is not True, (number, found)
        if found.verdict == Verdict.TOLD:
            newest = max(own, key=lambda each: alerts[each].started_at)
            assert (steps["told"] is not False) == (newest in told), (number, found)
