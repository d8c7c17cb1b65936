"""What a report says of a span: traffic, delivery, cost, codes, alerts, rules, and what was not read."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text, update

from app.database import session_scope
from app.errors import InvalidInput
from app.models import CoverageGap, Delivery, Stream
from app.services.logs import tallies
from app.services.reports.report import build
from tests.factories import alert_row
from tests.fakes import START, minutes
from tests.feeding import ACCOUNT, Feed, log
from tests.integration.alerts.stories import make_rule

DAY = timedelta(days=1)


@pytest.fixture
def feed(database: str) -> Feed:  # the database to feed
    feed = Feed(START - timedelta(days=30))
    feed.complete(START + 30 * DAY, START - timedelta(days=30))
    return feed


def report(since: datetime = START, until: datetime = START + DAY, zone: str = "UTC") -> dict[str, Any]:
    with session_scope() as session:
        return build(session, since, until, zone)


def make_alert(**fields: Any) -> UUID:
    alert = alert_row(START, **{"status": "resolved", "summary": "31 calls failed", "occurrences": 31} | fields)
    with session_scope() as session:
        session.add(alert)
        session.flush()
        return alert.id


def make_delivery(alert_id: UUID, at: datetime, kind: str = "alert.firing") -> None:
    row = {
        "alert_id": alert_id,
        "action_id": uuid4(),
        "action_type": "email",
        "type": kind,
        "recipient": "ops@example.com",
        "status": "succeeded",
        "content": {},
        "created_at": at,
    }
    with session_scope() as session:
        session.execute(insert(Delivery), [row])


def test_traffic_delivery_and_cost_stand_against_the_span_before(feed: Feed) -> None:
    sent = {"error_code": None, "status": "delivered"}
    feed.store([log(number, minutes(number), **sent) for number in range(6)], START + DAY)
    feed.store([log(10 + number, minutes(60 + number)) for number in range(2)], START + DAY)
    feed.store([log(20, minutes(-5), **sent, price=Decimal("-1.5"), price_unit="EUR")], START + DAY)
    feed.store([log(1, minutes(3), log_type="call", error_code=None, status="completed", price=None)], START + DAY)
    made = report()
    assert made["traffic"]["total"] == 9
    assert made["traffic"]["before"] == 1
    assert {each["log_type"]: (each["count"], each["before"]) for each in made["traffic"]["by_type"]} == {
        "call": (1, 0),
        "message": (8, 1),
        "error": (0, 0),
    }
    assert made["delivery"] == {
        "final": 8,
        "delivered": 6,
        "share": 0.75,
        "final_before": 1,
        "delivered_before": 1,
        "share_before": 1.0,
    }
    assert {each["unit"]: (Decimal(each["amount"]), Decimal(each["before"])) for each in made["cost"]["items"]} == {
        "USD": (Decimal("0.06"), 0),
        "EUR": (0, Decimal("1.5")),
    }


def test_the_limits_of_a_span_are_exact_and_tallies_change_nothing(feed: Feed) -> None:
    """The span begins and ends within hours that are tallied whole."""
    feed.store([log(number, minutes(number * 17)) for number in range(170)], START + 3 * DAY)
    span = minutes(17 * 20), minutes(17 * 120)
    before = report(*span)
    assert before["traffic"]["total"] == before["delivery"]["final"] == before["error_codes"][0]["count"] == 100
    assert before["traffic"]["before"] == before["error_codes"][0]["before"] == 20
    tallies.catch_up(START + 9 * DAY, START - 9 * DAY, 60)
    assert report(*span) == before


def test_hours_and_days_add_up_to_the_total(feed: Feed) -> None:
    feed.store([log(number, minutes(number * 31)) for number in range(300)], START + 9 * DAY)
    for until, zone, steps in ((DAY, "UTC", 25), (7 * DAY, "Europe/Berlin", 7), (DAY / 2, "Asia/Kolkata", 13)):
        traffic = report(START, START + until, zone)["traffic"]
        assert len(traffic["series"]) == steps
        assert sum(step["count"] for step in traffic["series"]) == traffic["total"]


def test_codes_come_with_their_meaning_the_most_frequent_first(feed: Feed) -> None:
    feed.store([log(number, minutes(number), error_code=30005) for number in range(3)], START + DAY)
    feed.store([log(10 + number, minutes(number), error_code=30007) for number in range(5)], START + DAY)
    feed.store([log(20, minutes(-7), error_code=30005)], START + DAY)
    make_rule(pattern_type="error_code", pattern_value="30005")
    made = report()
    assert [(each["error_code"], each["count"], each["before"]) for each in made["error_codes"]] == [
        (30007, 5, 0),
        (30005, 3, 1),
    ]
    assert all(each["message"] and each["next_step"] and each["docs"] for each in made["error_codes"])
    assert [(each["error_code"], each["pack"]) for each in made["unwatched"]] == [(30007, "carrier_filtering")]


def test_a_call_and_the_entry_it_takes_its_code_from_count_once(feed: Feed) -> None:
    for log_type, first, count in (("error", 1, 4), ("call", 1, 3), ("call", 100, 2)):
        at = -60 if first == 100 else 1
        fields: dict[str, Any] = {"log_type": log_type, "error_code": 13224, "status": None, "final": True}
        feed.store([log(first + number, minutes(at), **fields) for number in range(count)], START + DAY)
    (code,) = report()["error_codes"]
    assert (code["log_type"], code["count"], code["before"]) == ("error", 4, 0)


def test_alerts_come_with_the_times_to_acknowledge_and_to_resolve_them(feed: Feed) -> None:
    for number, severity in enumerate(("info", "warning", "critical")):
        make_alert(
            severity=severity,
            acknowledged_at=minutes(1 + number),
            acknowledged_by="Ann",
            resolved_at=minutes(10 * (1 + number)),
        )
    make_alert(status="firing", started_at=minutes(90))
    make_alert(started_at=minutes(-3), acknowledged_at=minutes(0), resolved_at=minutes(2))
    make_alert(started_at=START + DAY)
    alerts = report()["alerts"]
    assert (alerts["total"], alerts["before"], alerts["open"], alerts["acknowledged"]) == (4, 1, 1, 3)
    assert alerts["by_severity"] == {"critical": 1, "warning": 2, "info": 1}
    assert (alerts["seconds_to_acknowledge"], alerts["seconds_to_resolve"]) == (120.0, 1200.0)
    assert (alerts["seconds_to_acknowledge_before"], alerts["seconds_to_resolve_before"]) == (180.0, 300.0)
    assert [each["severity"] for each in alerts["items"]] == ["critical", "warning", "warning", "info"]
    assert alerts["items"][0]["seconds_to_acknowledge"] == 180.0
    assert alerts["items"][1]["status"] == "firing", "of equals the newest comes first"
    assert alerts["items"][1]["seconds_to_resolve"] is None


def test_resolving_an_alert_directly_does_not_acknowledge_it(feed: Feed) -> None:
    make_alert(acknowledged_at=None, acknowledged_by="API_KEY", resolve_reason="manual", resolved_at=minutes(5))
    assert report()["alerts"]["items"][0]["acknowledged_by"] is None


def test_rules_are_listed_by_notifications_and_those_without_a_match_apart(feed: Feed) -> None:
    noisy, calm = make_rule(name="Noisy"), make_rule(name="Calm")
    new = make_rule(name="Too new to tell")
    deleted = uuid4()
    make_rule(name="Disabled", enabled=False)
    for rule_id, name, number in ((noisy, "Old name", 3), (calm, "Calm", 1), (deleted, "Deleted", 2)):
        alert = make_alert(rule_id=rule_id, rule_name=name, acknowledged_at=None)
        for minute in range(number):
            make_delivery(alert, minutes(minute))
        make_delivery(alert, minutes(-1))
    with session_scope() as session:
        session.execute(text("UPDATE rules SET started_at = :at WHERE id = :id"), {"at": minutes(1), "id": new})
        session.execute(text("UPDATE rules SET last_matched_at = :at WHERE id = :id"), {"at": minutes(5), "id": noisy})
        session.execute(text("UPDATE rules SET last_matched_at = :at WHERE id = :id"), {"at": minutes(-5), "id": calm})
    rules = report()["rules"]
    assert [(each["rule_name"], each["notifications"], each["deleted"]) for each in rules["noisiest"]] == [
        ("Noisy", 3, False),
        ("Deleted", 2, True),
        ("Calm", 1, False),
    ]
    assert [each["rule_name"] for each in rules["without_match"]] == ["Calm"]


def test_a_span_that_is_not_read_to_its_end_says_so(feed: Feed) -> None:
    feed.complete(minutes(60))
    made = report()
    assert made["whole"] is False
    assert made["not_read"] == [
        {
            "account_sid": ACCOUNT,
            "log_type": log_type,
            "since": "2026-11-23T07:09:00Z",
            "until": "2026-11-24T06:09:00Z",
            "state": "not_yet",
        }
        for log_type in ("call", "message", "error")
    ]
    assert report(until=minutes(60))["whole"] is True


def test_a_gap_is_named_and_the_time_before_an_account_was_watched_is_no_fault(feed: Feed) -> None:
    feed.complete(START + DAY, minutes(30))
    made = report()
    assert made["whole"] is True
    assert {(each["until"], each["state"]) for each in made["not_read"]} == {("2026-11-23T06:39:00Z", "not_yet")}
    gap = CoverageGap(
        stream_id=feed.stream_ids["message"], since=minutes(60), until=minutes(90), reason="expired", noted_at=START
    )
    with session_scope() as session:
        session.add(gap)
        moved = update(Stream).where(Stream.id == feed.stream_ids["message"])
        session.execute(moved.values(complete_from=gap.until))
    made = report(minutes(31))
    assert made["whole"] is False
    assert [(each["log_type"], each["state"]) for each in made["not_read"]] == [("message", "gap")]


def test_accounts_and_streams_that_are_not_watched_do_not_count(feed: Feed) -> None:
    feed.complete(minutes(60))
    with session_scope() as session:
        session.execute(text("UPDATE streams SET unavailable = true WHERE log_type = 'error'"))
        session.execute(text("UPDATE streams SET complete_until = :at WHERE log_type <> 'error'"), {"at": START + DAY})
    assert report()["whole"] is True
    with session_scope() as session:
        session.execute(text("UPDATE streams SET unavailable = false"))
        session.execute(text("UPDATE accounts SET enabled = false"))
    assert report()["not_read"] == []


def test_a_span_before_that_was_not_read_whole_is_not_compared_with(feed: Feed) -> None:
    feed.complete(START + DAY, minutes(-60))
    priced = {"price": Decimal("-0.01"), "price_unit": "USD"}
    feed.store([log(number, minutes(number - 3), **priced) for number in range(6)], START + DAY)
    make_alert(started_at=minutes(-3), acknowledged_at=minutes(0), resolved_at=minutes(2))
    made = report()
    before = [
        made["traffic"]["before"],
        *[each["before"] for each in made["traffic"]["by_type"]],
        *[made["delivery"][name] for name in ("final_before", "delivered_before", "share_before")],
        made["error_codes"][0]["before"],
        *[each["before"] for each in made["cost"]["items"]],
        *[made["alerts"][name] for name in ("before", "seconds_to_acknowledge_before", "seconds_to_resolve_before")],
    ]
    assert set(before) == {None}
    assert (made["traffic"]["total"], made["whole"]) == (3, True)
    assert report(until=minutes(60))["traffic"]["before"] == 3, "the hour before was read"


def test_an_empty_system_has_an_empty_report(database: str) -> None:
    made = report()
    assert made["traffic"]["total"] == made["alerts"]["total"] == 0
    assert made["delivery"]["share"] is made["alerts"]["seconds_to_resolve"] is None
    assert made["error_codes"] == made["unwatched"] == made["cost"]["items"] == []
    assert made["whole"] is True


@pytest.mark.parametrize(("since", "until", "field"), [(0, 0, "until"), (5, 0, "until"), (-93 * 1440, 0, "since")])
def test_a_span_that_cannot_be_reported_is_refused(database: str, since: int, until: int, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        report(minutes(since), minutes(until))
    assert [error.field for error in refused.value.errors] == [field]
