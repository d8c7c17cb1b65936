"""A flood of alerts: twenty notifications go out, the rest are told in a digest, and all are on record."""

import json

from sqlalchemy import text

from app.database import session_scope
from tests.integration.outbox.conftest import Outbox
from tests.receivers import Mailbox, Receiver


def flood(outbox: Outbox, number: int, **fields: object) -> None:
    for _ in range(number):
        outbox.tell(outbox.alert(**fields))


def drain(outbox: Outbox) -> None:
    while outbox.deliver(seconds=3):
        pass


def test_what_exceeds_the_cap_is_folded_and_told_once(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 35)
    drain(outbox)
    assert len(receiver.requests) == 20
    folded = outbox.deliveries(status="folded")
    assert len(folded) == 15
    outbox.deliver(minutes=1)
    digest = json.loads(receiver.requests[-1].body)
    assert digest["type"] == "alert.digest"
    assert digest["data"]["digest"]["count"] == 15
    assert set(digest["data"]) == {"alert", "rule", "logs", "digest"}
    assert digest["data"]["alert"]["occurrences"] == 15
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
        outbox.tell(alert)
    drain(outbox)
    outbox.deliver(minutes=1)
    told = json.loads(receiver.requests[-1].body)["data"]["digest"]
    assert [item["alert_id"] for item in told["items"]] == [str(alert.id) for alert in alerts[:20]]
    assert all(item["link"].endswith(item["alert_id"]) for item in told["items"])
    assert told["more"] == 5


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


def test_a_folded_firing_still_counts_as_told(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    flood(outbox, 20)
    alert = outbox.alert()
    outbox.tell(alert)
    outbox.clock.advance(minutes=20)
    outbox.tell(alert, "resolved")
    assert [(each.type, each.status) for each in outbox.deliveries(alert_id=alert.id)] == [
        ("alert.firing", "folded"),
        ("alert.resolved", "pending"),
    ]
