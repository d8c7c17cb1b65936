"""Reports by mail and webhook: one for each span, whatever restarts, and only the newest of those that were missed."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.models import Action
from app.services.outbox import actions, report_schedule
from app.services.reports import due
from app.utils.clock import rfc3339
from app.utils.zones import WEEKDAYS
from tests.conftest import forget
from tests.fakes import START
from tests.feeding import Feed, log
from tests.integration.outbox.conftest import Outbox
from tests.kits.mailboxes import Mailbox
from tests.kits.receivers import Receiver, http_receiver, respond
from tests.profiles import examples

DAILY = {"every": "day", "weekday": "mon", "at": "08:00", "timezone": "Europe/Berlin"}
"""Due 51 minutes after the start of these stories."""
DUE = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def make_reports(outbox: Outbox, **later: float) -> int:
    if later:
        outbox.clock.advance(**later)
    return due.make_due(get_settings(), outbox.clock())


def at(outbox: Outbox, moment: datetime) -> int:
    outbox.clock.now = moment
    return make_reports(outbox)


def change(outbox: Outbox, action: UUID, **changes: object) -> None:
    with session_scope() as session:
        actions.patch(session, action, changes, get_settings(), outbox.clock())


def stored(action_id: UUID) -> Action:
    with session_scope() as session:
        found = session.get(Action, action_id)
        assert found is not None
        session.expunge(found)
        return found


def spans(outbox: Outbox) -> list[tuple[str, str]]:
    """The spans of all reports to webhooks, in the order in which they were made."""
    rows = outbox.deliveries(type="report", action_type="webhook")
    reports = [json.loads(row.content["body"])["data"]["report"] for row in rows]
    return [(report["since"], report["until"]) for report in reports]


@pytest.fixture
def feed(outbox: Outbox) -> Feed:  # its database is the one to feed
    return Feed(START - timedelta(days=30))


def test_a_report_is_sent_once_by_mail_and_webhook(
    outbox: Outbox, feed: Feed, mailbox: Mailbox, receiver: Receiver
) -> None:
    feed.store([log(number, DUE - timedelta(hours=number)) for number in range(1, 4)], START)
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    outbox.action("email", {"recipients": ["ann@example.com", "bob@example.com"]}, report=DAILY)
    outbox.webhook(receiver)
    assert make_reports(outbox) == 0, "it is not due yet"
    feed.complete(DUE, DUE - timedelta(days=9))
    assert at(outbox, DUE) == 3
    assert make_reports(outbox) == make_reports(outbox, hours=23) == 0
    outbox.deliver()
    [request] = receiver.requests
    body = json.loads(request.body)
    assert body["type"] == "report"
    assert set(body["data"]) == {"alert", "rule", "logs", "report"}
    report = body["data"]["report"]
    assert (report["since"], report["until"]) == ("2026-11-22T07:00:00Z", "2026-11-23T07:00:00Z")
    assert report["whole"] is True
    assert report["traffic"]["total"] == 3
    assert [code["error_code"] for code in report["error_codes"]] == [30003]
    for recipient in ("ann@example.com", "bob@example.com"):
        [mail] = mailbox.to(recipient)
        assert mail["Subject"] == "[GiftPulse] Daily report: 3 logs, 0% of messages delivered, 0 alerts"
        assert mail["X-GiftPulse-Type"] == "report"
        plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
        assert plain is not None
        assert html is not None
        assert "Sun 22 Nov 2026, 08:00 to Mon 23 Nov 2026, 08:00 (Europe/Berlin)" in plain.get_content()
        assert "30003" in html.get_content()


def test_the_next_report_begins_where_the_last_one_ended(outbox: Outbox, receiver: Receiver) -> None:
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    for day in range(3):
        assert at(outbox, DUE + timedelta(days=day, minutes=3)) == 1
    made = spans(outbox)
    assert [until for _, until in made[:-1]] == [since for since, _ in made[1:]]
    assert made[0][0] == "2026-11-22T07:00:00Z"


def test_only_the_newest_missed_report_is_sent_and_marked_late(outbox: Outbox, receiver: Receiver) -> None:
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    assert at(outbox, DUE + timedelta(days=5, hours=7)) == 1
    assert make_reports(outbox) == 0
    assert spans(outbox) == [("2026-11-27T07:00:00Z", "2026-11-28T07:00:00Z")]
    assert at(outbox, DUE + timedelta(days=6)) == 1


def test_a_report_waits_for_streams_that_are_not_read_up_to_its_end(
    outbox: Outbox, feed: Feed, receiver: Receiver
) -> None:
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    feed.complete(DUE - timedelta(minutes=5), DUE - timedelta(days=9))
    assert at(outbox, DUE) == make_reports(outbox, minutes=6) == 0
    feed.complete(DUE, DUE - timedelta(days=9))
    assert make_reports(outbox, seconds=20) == 1


def test_a_report_that_waited_in_vain_says_that_it_is_not_whole(outbox: Outbox, feed: Feed, receiver: Receiver) -> None:
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    feed.complete(DUE - timedelta(minutes=5), DUE - timedelta(days=9))
    assert at(outbox, DUE + timedelta(hours=3)) == make_reports(outbox, minutes=29) == 0, (
        "it waits from when it was seen"
    )
    assert make_reports(outbox, minutes=1) == 1
    [row] = outbox.deliveries(type="report")
    report = json.loads(row.content["body"])["data"]["report"]
    assert report["whole"] is False
    assert {(each["since"], each["until"], each["state"]) for each in report["not_read"]} == {
        ("2026-11-23T06:55:00Z", "2026-11-23T07:00:00Z", "not_yet")
    }


def test_a_crash_before_the_commit_neither_loses_nor_doubles_it(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    with monkeypatch.context() as patched:
        patched.setattr(due, "after_commit", _crash)
        with pytest.raises(KeyboardInterrupt):
            at(outbox, DUE)
    assert outbox.deliveries() == []
    assert stored(action).report_due_at == DUE
    assert make_reports(outbox) == 1


def test_two_workers_make_one(outbox: Outbox, receiver: Receiver) -> None:
    """The second comes while the first has built its report and not written it yet."""
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    outbox.clock.now = DUE
    with session_scope() as session:
        [first] = due._find_due(session, DUE)
    with session_scope() as session:
        [second] = due._find_due(session, DUE)
    report = due._build(DUE - timedelta(days=1), DUE, "UTC")
    made = []
    for owed in (first, second):
        with session_scope() as session:
            made.append(due._enqueue(session, owed, report, get_settings(), DUE))
    assert made == [1, 0]
    assert len(outbox.deliveries()) == 1


def test_editing_the_schedule_of_reports_restarts_it_and_other_edits_do_not(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    outbox.clock.now = DUE + timedelta(minutes=1)
    change(outbox, action, min_severity="critical")
    assert stored(action).report_due_at == DUE, "what is owed stays owed"
    change(outbox, action, report=DAILY | {"at": "09:00"})
    assert stored(action).report_due_at == DUE + timedelta(hours=1)
    change(outbox, action, report=None)
    assert stored(action).report_due_at is None
    assert make_reports(outbox, days=3) == 0


def test_a_disabled_action_gets_none_and_misses_none(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    change(outbox, action, enabled=False)
    assert at(outbox, DUE + timedelta(days=3, hours=2)) == 0
    change(outbox, action, enabled=True)
    assert make_reports(outbox) == 0
    assert stored(action).report_due_at == DUE + timedelta(days=4)


def test_an_action_that_its_receiver_disabled_gets_no_old_report_when_it_is_enabled(outbox: Outbox) -> None:
    with http_receiver(respond(410)) as gone:
        action = outbox.action("webhook", {"url": gone.url}, report=DAILY)
        assert at(outbox, DUE) == 1
        outbox.deliver()
    assert stored(action).enabled is False
    assert at(outbox, DUE + timedelta(days=2)) == 0
    change(outbox, action, enabled=True)
    assert make_reports(outbox) == 0


@pytest.mark.parametrize(
    ("action_type", "config"),
    [
        ("apprise", {"urls": ["json://example.com"]}),
        ("webhook", {"format": "pagerduty", "routing_key": "abc123"}),
    ],
)
def test_a_report_is_rejected_for_kinds_without_reports(
    outbox: Outbox, action_type: str, config: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        outbox.action(action_type, config, report=DAILY)
    assert [error.field for error in refused.value.errors] == ["report"]
    assert outbox.action(action_type, config)


@pytest.mark.parametrize("format_", ["slack", "teams", "google_chat", "discord"])
def test_chat_services_get_its_figures_and_a_link(outbox: Outbox, receiver: Receiver, format_: str) -> None:
    outbox.action("webhook", {"url": receiver.url, "format": format_}, report=DAILY)
    assert at(outbox, DUE) == 1
    outbox.deliver()
    said = receiver.requests[0].body.decode()
    assert "Daily report" in said
    assert "/report?since=2026-11-22T07%3A00%3A00Z&until=2026-11-23T07%3A00%3A00Z" in said.replace("\\u0026", "&")
    assert "None" not in said


def test_an_unreadable_action_stops_no_other_report(outbox: Outbox, receiver: Receiver) -> None:
    broken = outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    with session_scope() as session:
        session.execute(text("UPDATE actions SET config = 'nothing' WHERE id = :id"), {"id": broken})
    assert at(outbox, DUE) == 1


def test_reports_do_not_count_as_a_flood(outbox: Outbox, receiver: Receiver) -> None:
    for _ in range(21):
        outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    assert at(outbox, DUE) == 21
    assert outbox.deliveries(status="folded") == []


def test_numbers_are_masked_where_that_is_wanted(
    outbox: Outbox, receiver: Receiver, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MASK_NUMBERS", "true")
    forget()
    outbox.alert(summary="3 messages from +14155550100", started_at=DUE - timedelta(hours=2))
    outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    assert at(outbox, DUE) == 1
    [row] = outbox.deliveries(type="report")
    assert "+14155550100" not in row.content["body"]
    assert "+1415•••0100" in row.content["body"]


def test_many_workers_at_once_make_each_report_once(outbox: Outbox, receiver: Receiver) -> None:
    for _ in range(3):
        outbox.action("webhook", {"url": receiver.url}, report=DAILY)
    settings = get_settings()
    for day in range(3):
        now = DUE + timedelta(days=day)
        with ThreadPoolExecutor(6) as pool:
            made = list(pool.map(lambda _, now=now: due.make_due(settings, now), range(6)))
        # A row that another worker holds is passed over: the next tick finds it.
        assert sum(made) + due.make_due(settings, now) == 3
    assert len(outbox.deliveries(type="report")) == 9


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(examples(6)))
def test_each_span_is_reported_once_or_skipped_for_a_newer_one(
    outbox: Outbox, receiver: Receiver, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours pass, clocks change, workers are down, tick late, twice, or crash before they commit."""
    rng = random.Random(seed)  # of a test
    zone = rng.choice(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
    every = rng.choice(["day", "week"])
    weekday, at_time = rng.choice(WEEKDAYS), rng.choice(["00:00", "02:30", "08:00"])
    schedule = report_schedule.from_row({"every": every, "weekday": weekday, "at": at_time, "timezone": zone})
    hours = [0, 1, 5, 24, 24 * 7, 24 * 20] if every == "week" else [0, 1, 5, 11, 24, 60]
    outbox.clock.now = datetime(2026, rng.choice([3, 10]), 20, 1, 30, tzinfo=UTC)
    action = outbox.action("webhook", {"url": receiver.url}, report=schedule.model_dump())
    told, expected = report_schedule.latest_due(schedule, outbox.clock()), []
    for _ in range(30):
        outbox.clock.advance(hours=rng.choice(hours))
        happens = rng.choice(["tick", "tick", "twice", "down", "crash", "edit"])
        if happens == "edit":
            change(outbox, action, min_severity=rng.choice(["info", "critical"]))
        elif happens == "crash":
            with monkeypatch.context() as patched:
                patched.setattr(due, "after_commit", _crash)
                with suppress(KeyboardInterrupt):
                    make_reports(outbox)
        elif happens != "down":
            for _ in range(2 if happens == "twice" else 1):
                make_reports(outbox)
            if (newest := report_schedule.latest_due(schedule, outbox.clock())) > told:
                told = newest
                expected.append(report_schedule.span_of(schedule, newest))
    assert spans(outbox) == [(rfc3339(since), rfc3339(until)) for since, until in expected]
    assert expected


def _crash(*_: object) -> None:
    raise KeyboardInterrupt
