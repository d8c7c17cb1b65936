"""A flood of alerts: twenty notifications go out, the rest are told in a digest, and all are on record."""

import json
import threading
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.enums import NotificationType
from app.errors import Conflict
from app.models import Alert
from app.services.outbox import actions, cancellation, digest
from app.services.outbox.enqueue import enqueue
from app.services.outbox.notice import make_notice
from app.services.outbox.retry import retry
from tests.conftest import forget
from tests.fakes import START
from tests.integration.outbox.conftest import Outbox
from tests.kits.mailboxes import Mailbox
from tests.kits.receivers import Answer, Receiver, http_receiver, respond, respond_and_close, say, silent
from tests.kits.waiting import PATIENCE_SECONDS


def flood(outbox: Outbox, number: int, **fields: object) -> None:
    for _ in range(number):
        outbox.notify(outbox.alert(**fields))


def drain(outbox: Outbox) -> None:
    while outbox.deliver(seconds=3):
        pass


def change(outbox: Outbox, action: UUID, **changes: object) -> None:
    with session_scope() as session:
        actions.patch(session, action, changes, get_settings(), outbox.clock())


def test_notifications_beyond_the_cap_are_folded_and_sent_once(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 35)
    drain(outbox)
    assert len(receiver.requests) == 20
    folded = outbox.deliveries(status="folded")
    assert len(folded) == 15
    outbox.deliver(minutes=1)
    body = json.loads(receiver.requests[-1].body)
    assert body["type"] == "alert.digest"
    assert body["data"]["digest"]["count"] == 15
    assert set(body["data"]) == {"alert", "rule", "logs", "digest"}
    assert body["data"]["alert"]["occurrences"] == 15
    [told] = outbox.deliveries(type="alert.digest")
    assert {each.digest_id for each in outbox.deliveries(status="folded")} == {told.id}
    drain(outbox)
    assert len(receiver.requests) == 21, "nothing is told twice"
    assert len(outbox.deliveries()) == 36


def test_a_digest_links_to_the_alerts_and_says_how_many_more(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    alerts = [outbox.alert() for _ in range(25)]
    for alert in alerts:
        outbox.notify(alert)
    drain(outbox)
    outbox.deliver(minutes=1)
    told = json.loads(receiver.requests[-1].body)["data"]["digest"]
    assert [item["alert_id"] for item in told["items"]] == [str(alert.id) for alert in alerts[:20]]
    assert all(item["link"].endswith(item["alert_id"]) for item in told["items"])
    assert told["more"] == 5


def test_a_digest_lists_the_most_severe_alert_first(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    flood(outbox, 20, severity="info")
    flood(outbox, 1, severity="critical")
    drain(outbox)
    outbox.deliver(minutes=1)
    data = json.loads(receiver.requests[-1].body)["data"]
    assert [item["severity"] for item in data["digest"]["items"]] == ["critical"] + ["info"] * 19
    assert data["alert"]["severity"] == "critical"


def test_digests_of_a_lasting_flood_come_every_ten_minutes(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 30)
    drain(outbox)
    outbox.deliver(minutes=1)
    for _ in range(5):
        flood(outbox, 5)
        outbox.deliver(minutes=1)
    assert len(outbox.deliveries(type="alert.digest")) == 1
    outbox.deliver(minutes=6)
    assert len(outbox.deliveries(type="alert.digest")) == 2
    with session_scope() as session:
        untold = session.scalar(text("SELECT count(*) FROM deliveries WHERE status = 'folded' AND digest_id IS NULL"))
    assert untold == 0


def test_the_cap_is_of_each_action_and_its_window_passes(outbox: Outbox, receiver: Receiver) -> None:
    first = outbox.webhook(receiver)
    flood(outbox, 20)
    second = outbox.webhook(receiver)
    flood(outbox, 1)
    assert [each.status for each in outbox.deliveries(action_id=first)][-1] == "folded"
    assert [each.status for each in outbox.deliveries(action_id=second)] == ["pending"]
    outbox.clock.advance(minutes=11)
    flood(outbox, 1)
    assert [each.status for each in outbox.deliveries(action_id=first)][-1] == "pending"


def test_a_mail_to_several_recipients_counts_once_and_each_gets_a_digest(outbox: Outbox, mailbox: Mailbox) -> None:
    outbox.email("a@example.com", "b@example.com")
    flood(outbox, 22)
    drain(outbox)
    assert len(mailbox.mails) == 40
    outbox.deliver(minutes=1)
    drain(outbox)
    for address in ("a@example.com", "b@example.com"):
        mail = mailbox.to(address)[-1]
        assert "2 more notifications" in mail["Subject"]
        html = mail.get_body(("html",))
        assert html is not None
        assert html.get_content().count("/alerts/") == 2


def test_a_folded_firing_counts_as_received(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    alert = outbox.alert()
    outbox.notify(alert)
    outbox.clock.advance(minutes=20)
    outbox.notify(alert, "resolved")
    assert [(each.type, each.status) for each in outbox.deliveries(alert_id=alert.id)] == [
        ("alert.firing", "folded"),
        ("alert.resolved", "pending"),
    ]


def test_two_evaluations_at_the_same_moment_do_not_pass_the_cap_together(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    flood(outbox, digest.MAX_NOTIFICATIONS - 1)
    alerts = [outbox.alert(), outbox.alert()]
    made = threading.Event()

    def tell(alert: Alert) -> None:
        with session_scope() as session:
            enqueue(session, [make_notice(NotificationType.FIRING, alert)], get_settings(), outbox.clock())
            made.set()

    with session_scope() as first:
        enqueue(first, [make_notice(NotificationType.FIRING, alerts[0])], get_settings(), outbox.clock())
        second = threading.Thread(target=tell, args=(alerts[1],))
        second.start()
        assert not made.wait(0.3), "it waits until the other's are there to be counted"
    second.join(PATIENCE_SECONDS)
    statuses = Counter(each.status for each in outbox.deliveries(action_id=action))
    assert statuses == {"pending": digest.MAX_NOTIFICATIONS, "folded": 1}


def test_deliveries_after_a_folded_firing_wait_for_its_digest(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    drain(outbox)
    alert = outbox.alert()
    outbox.clock.advance(minutes=9, seconds=30 - (outbox.clock() - START).total_seconds())
    outbox.notify(alert)
    outbox.clock.advance(seconds=40)
    receiver.answers = [respond(503), respond(200)]
    [resolved] = outbox.notify(alert, "resolved")
    drain(outbox)
    assert outbox.attempts(resolved) == []
    outbox.deliver(seconds=30)
    assert outbox.attempts(resolved) == [], "the digest is not over"
    drain(outbox)
    outbox.deliver(minutes=1)
    assert [json.loads(request.body)["type"] for request in receiver.requests[20:]] == [
        "alert.digest",
        "alert.digest",
        "alert.resolved",
    ]


def test_deleting_an_action_ends_what_waits_for_its_digest(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    flood(outbox, 22)
    drain(outbox)
    with session_scope() as session:
        actions.delete(session, action, outbox.clock())
    ended = outbox.deliveries(status="failed")
    assert len(ended) == 2
    assert [attempt.error for each in ended for attempt in outbox.attempts(each.id)] == ["the action was deleted"] * 2
    with session_scope() as session, pytest.raises(Conflict, match="its action was deleted"):
        retry(session, ended[0].id, outbox.clock())


def test_an_action_whose_digest_cannot_be_made_delays_nobody_and_loses_nothing(
    outbox: Outbox, receiver: Receiver
) -> None:
    action = outbox.webhook(receiver)
    flood(outbox, 22)
    drain(outbox)
    with session_scope() as session:
        stored = session.scalar(text("SELECT config FROM actions"))
        session.execute(text("UPDATE actions SET config = 'what no key opens'"))
    other = outbox.webhook(receiver)
    outbox.notify(outbox.alert())
    outbox.deliver(minutes=1)
    assert [each.status for each in outbox.deliveries(action_id=other)] == ["succeeded"]
    with session_scope() as session:
        session.execute(text("UPDATE actions SET config = :stored WHERE id = :id"), {"stored": stored, "id": action})
    outbox.deliver()
    assert json.loads(receiver.requests[-1].body)["data"]["digest"]["count"] == 2


PAGERDUTY = {"format": "pagerduty", "routing_key": "k" * 32}


def events(receiver: Receiver) -> list[tuple[str, str]]:
    bodies = [json.loads(request.body) for request in receiver.requests]
    return [(body["event_action"], body["dedup_key"]) for body in bodies]


def test_pagerduty_gets_each_alert_of_a_flood_by_its_own_key_and_its_end(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver, **PAGERDUTY)
    alerts = [outbox.alert() for _ in range(30)]
    for alert in alerts:
        outbox.notify(alert)
    for alert in alerts:
        outbox.notify(alert, "resolved")
    outbox.deliver()
    for _ in range(10):
        outbox.deliver(minutes=3)
    for alert in alerts:
        assert [action for action, key in events(receiver) if key == str(alert.id)] == ["trigger", "resolve"]
    assert len(receiver.requests) == 60
    assert {each.status for each in outbox.deliveries()} == {"succeeded"}


def test_folded_notifications_go_to_pagerduty_one_by_one_once_the_action_has_that_format(
    outbox: Outbox, receiver: Receiver
) -> None:
    action = outbox.webhook(receiver)
    flood(outbox, 20)
    drain(outbox)
    going, over = outbox.alert(), outbox.alert(rule_name="Over: again", summary="said")
    outbox.notify(going)
    outbox.notify(over)
    outbox.notify(over, "resolved")
    change(outbox, action, config={"url": receiver.url} | PAGERDUTY)
    receiver.requests.clear()
    for _ in range(3):
        outbox.deliver(minutes=1)
    assert sorted(events(receiver)) == sorted(
        [("trigger", str(going.id)), ("trigger", str(over.id)), ("resolve", str(over.id))]
    )
    [told] = [
        body
        for body in map(json.loads, (each.body for each in receiver.requests))
        if body["dedup_key"] == str(over.id) and "payload" in body
    ]
    assert told["payload"]["summary"] == "Over: again: said"
    assert outbox.deliveries(type="alert.digest") == []


def test_two_floods_at_one_pagerduty_action_page_by_themselves_and_end_by_themselves(
    outbox: Outbox, receiver: Receiver
) -> None:
    outbox.webhook(receiver, **PAGERDUTY)
    receiver.answers = [respond_and_close(202)]
    floods = [[outbox.alert() for _ in range(25)] for _ in range(2)]
    for alerts in floods:
        for kind in ("firing", "resolved"):
            receiver.requests.clear()
            for alert in alerts:
                outbox.notify(alert, kind)
            for _ in range(10):
                outbox.deliver(minutes=3)
            wanted = "trigger" if kind == "firing" else "resolve"
            assert sorted(set(events(receiver))) == sorted((wanted, str(alert.id)) for alert in alerts)
    assert outbox.deliveries(type="alert.digest") == []
    assert {each.status for each in outbox.deliveries()} == {"succeeded"}


def test_a_test_of_pagerduty_leaves_no_incident(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver, **PAGERDUTY)
    [tried] = actions.send_test(action, get_settings(), outbox.clock())
    assert outbox.delivery(tried).status == "succeeded"
    assert [action for action, _ in events(receiver)] == ["trigger", "resolve"]
    assert len({key for _, key in events(receiver)}) == 1
    receiver.answers = [respond(202), respond(503)]
    [tried] = actions.send_test(action, get_settings(), outbox.clock())
    assert outbox.delivery(tried).status == "failed"
    told = outbox.attempts(tried)[-1].error
    assert told is not None
    assert "may still be open" in told


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([respond_and_close(202)], "succeeded"),
        ([respond(202), say(b""), respond(202)], "succeeded"),
        ([respond(202), respond(503), respond(202)], "succeeded"),
        ([respond(202), respond(429, Retry_After="1"), respond(202)], "succeeded"),
        ([say(b""), respond(202)], "failed"),
        ([silent, respond(202)], "failed"),
        ([respond(500), respond(202)], "failed"),
    ],
)
def test_the_incident_of_a_test_is_ended_whatever_becomes_of_a_connection(
    outbox: Outbox, receiver: Receiver, environment: pytest.MonkeyPatch, answers: list[Answer], status: str
) -> None:
    environment.setenv("WEBHOOK_TIMEOUT_SECONDS", "6")
    forget()
    action = outbox.webhook(receiver, **PAGERDUTY)
    receiver.answers = answers
    [tried] = actions.send_test(action, get_settings(), outbox.clock())
    assert outbox.delivery(tried).status == status
    assert events(receiver)[0][0] == "trigger"
    assert {action for action, _ in events(receiver)[1:]} == {"resolve"}
    assert len({key for _, key in events(receiver)}) == 1
    assert receiver.answers == answers[-1:], "the last was taken"


def test_a_test_that_reached_nobody_says_so_and_nothing_of_an_incident(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver, **PAGERDUTY)
    with http_receiver() as closed:
        pass
    change(outbox, action, config={"url": closed.url} | PAGERDUTY)
    [tried] = actions.send_test(action, get_settings(), outbox.clock())
    assert outbox.attempts(tried)[-1].error == "the connection could not be opened"


def test_a_test_that_pagerduty_refused_has_nothing_to_end(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver, **PAGERDUTY)
    receiver.answers = [respond(400)]
    [tried] = actions.send_test(action, get_settings(), outbox.clock())
    assert outbox.delivery(tried).status == "failed"
    assert [action for action, _ in events(receiver)] == ["trigger"]


def test_folded_deliveries_fail_when_the_type_of_their_action_changes_and_are_sent_once_it_changes_back(
    outbox: Outbox, receiver: Receiver, mailbox: Mailbox
) -> None:
    action = outbox.webhook(receiver)
    flood(outbox, 22)
    drain(outbox)
    change(outbox, action, action_type="email", config={"recipients": ["ops@example.com"]})
    outbox.deliver(minutes=1)
    failed = outbox.deliveries(status="failed")
    assert [outbox.attempts(each.id)[-1].error for each in failed] == [cancellation.OTHER_KIND] * 2
    assert (outbox.deliveries(type="alert.digest"), mailbox.mails, len(receiver.requests)) == ([], [], 20)
    with session_scope() as session, pytest.raises(Conflict, match="another type"):
        retry(session, failed[0].id, outbox.clock())
    change(outbox, action, action_type="webhook", config={"url": receiver.url})
    for each in failed:
        with session_scope() as session:
            assert retry(session, each.id, outbox.clock()).status == "folded"
    outbox.deliver()
    assert json.loads(receiver.requests[-1].body)["data"]["digest"]["count"] == 2
    assert {each.digest_id for each in outbox.deliveries(status="folded")} != {None}


def test_two_workers_that_make_digests_at_the_same_moment_make_one(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 25)
    outbox.clock.advance(minutes=1)
    made: list[int] = []

    def make() -> None:
        with session_scope() as session:
            made.append(digest.make_due(session, get_settings(), outbox.clock()))

    with session_scope() as first:
        assert digest.make_due(first, get_settings(), outbox.clock()) == 1
        second = threading.Thread(target=make)
        second.start()
        second.join(PATIENCE_SECONDS)
        assert made == [0], "it does not wait: the other does it"
    make()
    assert made == [0, 0]
    assert len(outbox.deliveries(type="alert.digest")) == 1


def test_a_digest_is_created_while_an_earlier_delivery_is_retried(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    alert = outbox.alert()
    receiver.answers = [respond(404), respond(200)]
    [firing] = outbox.notify(alert)
    flood(outbox, 19)
    [update] = outbox.notify(alert, "update")
    drain(outbox)
    assert (outbox.delivery(firing).status, outbox.delivery(update).status) == ("failed", "folded")
    outbox.clock.advance(minutes=1)
    with session_scope() as by_hand:
        retry(by_hand, firing, outbox.clock())
        assert outbox.deliver() == 1, "neither waits for the other"
    [told] = outbox.deliveries(type="alert.digest")
    assert outbox.delivery(update).digest_id == told.id
    with session_scope() as session, pytest.raises(Conflict, match="is folded"):
        retry(session, update, outbox.clock())
    outbox.clock.advance(minutes=10)
    [resolved] = outbox.notify(alert, "resolved")
    outbox.deliver()
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids[-3:] == [str(told.id), str(firing), str(resolved)], "the end waits for the firing that is tried again"
    assert len(outbox.deliveries()) == 23


def test_a_failed_digest_is_retried_and_later_deliveries_wait_for_it(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    alert = outbox.alert()
    outbox.notify(alert)
    drain(outbox)
    receiver.answers = [respond(404), respond(503), respond(200)]
    outbox.deliver(minutes=1)
    [told] = outbox.deliveries(type="alert.digest", status="failed")
    with session_scope() as session:
        retry(session, told.id, outbox.clock())
    outbox.clock.advance(minutes=10)
    [resolved] = outbox.notify(alert, "resolved")
    outbox.deliver()
    assert outbox.attempts(resolved) == []
    outbox.deliver(seconds=6)
    ids = [request.headers["webhook-id"] for request in receiver.requests[20:]]
    assert ids == [str(told.id)] * 3 + [str(resolved)]
