"""What the logs of an alert have in common: by stored logs, for the API, the console and notifications."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Delivery
from app.services import rule_admin
from app.services.findings import common, notices, samples
from app.services.findings.common import InCommon, find_common
from app.services.findings.rule_of_alert import NoRule
from app.services.findings.samples import ComparedAlert
from app.services.logs.types import NormalizedLog
from tests.conftest import forget
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import change_rule, delete_rule, edit_rule, make_action, make_rule, only_alert

GOOD = {"status": "delivered", "error_code": None}


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(START - timedelta(days=1))


def logs(count: int, first: int, **fields: Any) -> list[NormalizedLog]:
    """Messages of one minute after the other, ten seconds apart."""
    return [log(first + number, START + timedelta(seconds=10 * number), **fields) for number in range(count)]


def incident(feed: Feed, *pages: Sequence[NormalizedLog], at: float = 30) -> Alert:
    """Store these logs and evaluate: one alert."""
    for page in pages:
        feed.store(page, minutes(at))
    evaluate(minutes(at))
    return only_alert()


def found(alert: Alert, *, with_texts: bool = True, seconds: float = 5) -> InCommon:
    with session_scope() as session:
        return find_common(session, ComparedAlert.of(alert), with_texts=with_texts, seconds=seconds)


def bad_link(feed: Feed) -> Alert:
    return incident(
        feed,
        logs(47, 1, text="Your parcel waits: bit.ly/3xK"),
        logs(3, 100, text="Your code is 123"),
        logs(8, 200, text="Your parcel waits: bit.ly/3xK", **GOOD),
        logs(72, 300, text="Your parcel is there https://example.com/x", **GOOD),
    )


def sent() -> list[dict[str, Any]]:
    """The bodies of the webhooks that are owed."""
    with session_scope() as session:
        query = select(Delivery).join(Alert, Alert.id == Delivery.alert_id).where(Alert.rule_id.is_not(None))
        rows = session.scalars(query.order_by(Delivery.number))
        return [orjson.loads(row.content["body"]) for row in rows]


def test_a_bad_link_among_good_ones_is_found(feed: Feed) -> None:
    make_rule(condition={"type": "threshold", "count": 10, "window_minutes": 30})
    in_common = found(bad_link(feed))
    assert (in_common.matched, in_common.others, in_common.detail) == (50, 80, None)
    first = in_common.items[0]
    assert (first.trait.field, first.trait.value) == ("link_domain", "bit.ly")
    assert (first.share, first.share_of_others) == (0.94, 0.1)
    assert in_common.finding == "94% of them had a link to bit.ly, but only 10% of the others."
    # All of them failed: that is what the rule is about.
    assert not {each.trait.field for each in in_common.items} & {"status", "error_code"}


def test_the_others_are_of_the_same_population_group_and_span(feed: Feed) -> None:
    make_rule(group_by=["from", "status"], filters={"direction": ["outbound-api"]})
    alert = incident(
        feed,
        logs(25, 1),
        logs(30, 100, **GOOD),
        logs(30, 200, from_="+14155550199", **GOOD),
        logs(30, 300, direction="inbound", status="received", error_code=None),
        [log(400 + number, START - timedelta(hours=1), **GOOD) for number in range(30)],
    )
    in_common = found(alert)
    assert (in_common.matched, in_common.others, in_common.finding) == (25, 30, None)


def test_one_hour_of_a_long_span_is_found(feed: Feed) -> None:
    make_rule(condition={"type": "threshold", "count": 10, "window_minutes": 600}, resolve_after_minutes=600)
    failed = [log(number, START + timedelta(hours=3, minutes=number)) for number in range(1, 50)]
    good = [log(100 + number, START + timedelta(minutes=6 * number), **GOOD) for number in range(90)]
    in_common = found(incident(feed, failed, good, at=600))
    assert in_common.finding is not None
    assert in_common.finding.startswith("100% of them were created between ")


def test_one_hour_of_a_short_span_is_no_news(feed: Feed) -> None:
    make_rule(condition={"type": "threshold", "count": 10, "window_minutes": 120})
    failed = [log(number, START + timedelta(minutes=61, seconds=number)) for number in range(50)]
    good = [log(100 + number, START + timedelta(minutes=number), **GOOD) for number in range(90)]
    in_common = found(incident(feed, failed, good, at=120))
    assert (in_common.items[0].trait.field, in_common.finding) == ("hour", None)


def test_other_accounts_are_no_part_of_it(feed: Feed) -> None:
    other = Feed(START - timedelta(days=1), "AC" + "1" * 32)
    other.store(logs(30, 1000, **GOOD), minutes(20))
    make_rule()
    in_common = found(incident(feed, logs(25, 1), logs(25, 100, **GOOD)))
    assert (in_common.matched, in_common.others) == (25, 25)


def test_few_logs_on_a_side_say_nothing(feed: Feed) -> None:
    make_rule()
    alert = incident(feed, logs(19, 1), logs(19, 100, **GOOD))
    in_common = found(alert)
    assert (in_common.items, in_common.finding) == ((), None)
    assert in_common.detail == ("There are 19 logs of this alert: at least 20 are needed on each side to compare them.")
    alert = incident(feed, logs(40, 200))
    in_common = found(alert)
    assert (in_common.matched, in_common.others) == (59, 19)
    assert in_common.detail == (
        "There are 19 logs that this alert does not count: at least 20 are needed on each side to compare them."
    )


@pytest.mark.parametrize("one_in", [2, 16])
def test_at_most_2000_on_each_side_and_always_the_same(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, one_in: int
) -> None:
    """They are chosen among one in two, or among all where one in sixteen is too few."""
    monkeypatch.setattr(samples, "SAMPLE", 30)
    monkeypatch.setattr(samples, "ONE_IN", one_in)
    make_rule()
    alert = incident(feed, logs(90, 1, segments=2), logs(90, 100, **GOOD))
    first = found(alert)
    assert (first.matched, first.others) == (30, 30)
    assert found(alert) == first


def test_without_stored_texts_links_and_words_are_left_out_and_that_is_said(feed: Feed) -> None:
    make_rule()
    in_common = found(bad_link(feed), with_texts=False)
    assert not {each.trait.field for each in in_common.items} & {"link_domain", "first_words"}
    assert (in_common.detail, in_common.finding) == (common.NO_TEXTS, None)


def test_a_rule_that_is_gone_or_another_one_now_is_said(feed: Feed) -> None:
    rule_id = make_rule()
    alert = bad_link(feed)
    change_rule(rule_id, description="only words")
    assert found(alert).detail is None
    change_rule(rule_id, filters={"to_country": ["US"]})
    assert found(alert).detail == common.WITHOUT_RULE[NoRule.CHANGED]
    with session_scope() as session:
        rule_admin.delete(session, rule_id, get_settings(), minutes(40))
    assert found(alert).detail == common.WITHOUT_RULE[NoRule.DELETED]


def test_the_finding_outlives_an_edit_of_the_rule_and_its_deletion(feed: Feed) -> None:
    rule_id = make_rule()
    alert = bad_link(feed)
    before = found(alert)
    assert before.finding
    edit_rule(rule_id, 40, filters={"to_country": ["US"]})
    assert found(alert) == before
    delete_rule(rule_id, 41)
    assert found(alert) == before


def test_a_slow_comparison_is_aborted_and_the_transaction_continues(feed: Feed) -> None:
    make_rule()
    alert = bad_link(feed)
    with session_scope() as session:
        session.execute(text("CREATE FUNCTION slow_md5(text) RETURNS text LANGUAGE sql AS 'SELECT pg_sleep(9)::text'"))
        before = session.scalar(text("SHOW statement_timeout"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(func, "md5", func.slow_md5, raising=False)
            given_up = find_common(session, ComparedAlert.of(alert), with_texts=True, seconds=0.05)
        assert (given_up.detail, given_up.finding) == (common.TOO_LONG, None)
        assert session.scalar(text("SHOW statement_timeout")) == before


def test_a_notification_carries_the_finding(feed: Feed) -> None:
    make_rule(condition={"type": "threshold", "count": 10, "window_minutes": 30})
    make_action()
    bad_link(feed)
    (body,) = sent()
    assert body["data"]["alert"]["finding"] == "94% of them had a link to bit.ly, but only 10% of the others."


def test_a_notification_without_a_finding_says_null(feed: Feed) -> None:
    make_rule()
    make_action()
    incident(feed, logs(3, 1))
    (body,) = sent()
    assert body["data"]["alert"]["finding"] is None


def test_numbers_in_a_finding_are_masked_where_they_are_in_notifications(
    feed: Feed, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MASK_NUMBERS", "true")
    forget()
    make_rule()
    make_action()
    incident(feed, logs(40, 1, from_="+14155550199"), logs(40, 100, **GOOD))
    (body,) = sent()
    assert body["data"]["alert"]["finding"] == "100% of them came from +1415•••0199, but none of the others."


def test_the_logs_own_numbers_in_a_finding_are_masked_without_their_plus_too(
    feed: Feed, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MASK_NUMBERS", "true")
    forget()
    make_rule()
    make_action()
    make_action(bundle_seconds=60)
    incident(feed, logs(40, 1, from_="client:ann_14155550199"), logs(40, 100, **GOOD))
    with session_scope() as session:
        items = [each.bundle_item for each in session.scalars(select(Delivery)) if each.bundle_item]
        assert [item["finding"] for item in items if item["finding"]] == ["from client:ann_1415•••0199"]
        stored = orjson.dumps([each.content for each in session.scalars(select(Delivery))]).decode()
    assert "100% of them came from client:ann_1415•••0199, but" in stored
    assert "14155550199" not in stored


def test_erased_texts_are_in_no_notification(feed: Feed, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    make_rule()
    make_action()
    bad_link(feed)
    (body,) = sent()
    assert body["data"]["alert"]["finding"] is None
    assert "bit.ly" not in orjson.dumps(body).decode()


def test_a_finding_that_fails_delays_no_notification(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> InCommon:
        raise RuntimeError("planted")

    monkeypatch.setattr(notices, "find_common", fail)
    make_rule()
    make_action()
    bad_link(feed)
    (body,) = sent()
    assert (body["type"], body["data"]["alert"]["finding"]) == ("alert.firing", None)


def test_no_time_left_is_no_finding(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "SECONDS", 0)
    make_rule()
    make_action()
    bad_link(feed)
    (body,) = sent()
    assert body["data"]["alert"]["finding"] is None
