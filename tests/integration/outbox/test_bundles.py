"""Bundles: one message for one outage."""

import json
import threading
from typing import Any
from uuid import UUID

import pytest

from app.config import get_settings
from app.database import session_scope
from app.enums import NotificationType
from app.models import Account, Alert
from app.services.alerts.withholding import withheld
from app.services.outbox import actions, bundle, bundle_text
from app.services.outbox.enqueue import enqueue
from app.services.outbox.notice import make_notice
from app.services.outbox.retry import retry
from tests.conftest import forget
from tests.feeding import ACCOUNT
from tests.integration.outbox.conftest import Outbox
from tests.kits.mailboxes import Mailbox
from tests.kits.receivers import Receiver
from tests.kits.waiting import PATIENCE_SECONDS


def bundling(outbox: Outbox, receiver: Receiver, seconds: int = 60, **config: Any) -> UUID:
    return outbox.action("webhook", {"url": receiver.url} | config, bundle_seconds=seconds)


def said(receiver: Receiver) -> list[str]:
    return [json.loads(each.body)["type"] for each in receiver.requests]


def change(outbox: Outbox, action: UUID, **changes: object) -> None:
    with session_scope() as session:
        actions.patch(session, action, changes, get_settings(), outbox.clock())


def test_firings_within_the_time_are_sent_together_the_most_severe_first(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    first, worst, last = outbox.alert(), outbox.alert(severity="critical"), outbox.alert(severity="info")
    outbox.notify(first)
    outbox.deliver(seconds=59)
    outbox.notify(worst)
    outbox.deliver()
    assert receiver.requests == []
    outbox.deliver(seconds=1)
    outbox.notify(last)
    (request,) = receiver.requests
    body = json.loads(request.body)
    told = body["data"]["digest"]
    assert (body["type"], told["count"], body["data"]["alert"]["severity"]) == ("alert.digest", 2, "critical")
    assert [item["alert_id"] for item in told["items"]] == [str(worst.id), str(first.id)]
    outbox.deliver(seconds=60)
    assert said(receiver) == ["alert.digest", "alert.firing"], "what came later began a bundle of its own"
    assert {each.status for each in outbox.deliveries()} == {"folded", "succeeded"}


def test_a_single_firing_is_sent_as_it_is(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    [delivery_id] = outbox.notify(outbox.alert())
    assert outbox.waits(delivery_id) == 60
    outbox.deliver(seconds=59)
    outbox.deliver(seconds=1)
    assert said(receiver) == ["alert.firing"]
    assert receiver.requests[0].headers["webhook-id"] == str(delivery_id)


def test_a_resolve_removes_its_firing_from_the_bundle_and_neither_is_sent(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    gone, stays = outbox.alert(), outbox.alert()
    outbox.notify(gone)
    outbox.notify(stays)
    outbox.clock.advance(seconds=30)
    outbox.notify(gone, "resolved")
    assert outbox.deliveries(alert_id=gone.id) == []
    outbox.deliver(seconds=30)
    assert said(receiver) == ["alert.firing"]
    outbox.notify(stays, "resolved")
    outbox.deliver()
    assert said(receiver) == ["alert.firing", "alert.resolved"]


def test_an_alert_that_fires_and_resolves_in_one_transaction_notifies_nobody(
    outbox: Outbox, receiver: Receiver
) -> None:
    bundling(outbox, receiver)
    alert = outbox.alert()
    notices = [make_notice(kind, alert) for kind in (NotificationType.FIRING, NotificationType.RESOLVED)]
    with session_scope() as session:
        assert enqueue(session, notices, get_settings(), outbox.clock()) == 0
    assert outbox.deliveries() == []


def test_the_resolve_of_an_alert_in_a_digest_is_sent(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    alerts = [outbox.alert(), outbox.alert()]
    for alert in alerts:
        outbox.notify(alert)
    outbox.clock.advance(seconds=60)
    outbox.notify(alerts[0], "resolved")
    outbox.deliver()
    outbox.deliver(seconds=1)
    assert said(receiver) == ["alert.digest", "alert.resolved"]


def test_updates_of_what_waits_are_left_to_the_bundle(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    alert = outbox.alert()
    outbox.notify(alert)
    outbox.notify(alert, "update")
    outbox.deliver(seconds=60)
    outbox.notify(alert, "update")
    outbox.deliver()
    assert said(receiver) == ["alert.firing", "alert.update"]


def test_pagerduty_waits_for_no_bundle(outbox: Outbox, receiver: Receiver) -> None:
    outbox.action("webhook", {"url": receiver.url, "format": "pagerduty", "routing_key": "a" * 32}, bundle_seconds=3600)
    outbox.notify(outbox.alert())
    outbox.notify(outbox.alert())
    outbox.deliver()
    assert len(receiver.requests) == 2


def test_each_recipient_of_a_mail_gets_one_digest_that_reads_like_one_story(outbox: Outbox, mailbox: Mailbox) -> None:
    outbox.action("email", {"recipients": ["a@example.com", "b@example.com"]}, bundle_seconds=60)
    account = {"account_sid": ACCOUNT}
    with session_scope() as session:
        session.add(Account(sid=ACCOUNT, friendly_name="Acme", started_at=outbox.clock()))
    outbox.notify(outbox.alert(group=account, summary="8 calls failed", rule_name="Calls fail"))
    worst = outbox.alert(group=account, severity="critical", summary=f"12 messages of account {ACCOUNT}")
    outbox.notify(worst)
    outbox.deliver(seconds=60)
    for address in ("a@example.com", "b@example.com"):
        [mail] = mailbox.to(address)
        subject = f"[critical] 2 alerts in 1 account: {worst.rule_name} (Acme); Calls fail (Acme)"
        assert mail["Subject"] == subject
        text = mail.get_body(("plain",))
        assert text is not None
        written = text.get_content()
        assert written.index("12 messages of Acme") < written.index("8 calls failed")
        assert written.splitlines()[0] == "Digest: 2 alerts in 1 account"
        assert ACCOUNT in written
        assert "Firing" not in written


def test_names_of_accounts_and_of_escalation_targets_are_masked_where_numbers_are(
    outbox: Outbox, receiver: Receiver, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MASK_NUMBERS", "true")
    forget()
    with session_scope() as session:
        session.add(Account(sid=ACCOUNT, friendly_name="Support +1 415 555 0100", started_at=outbox.clock()))
    for seconds in (0, 60):
        outbox.action("email", {"recipients": ["ops@example.com"]}, bundle_seconds=seconds)
        for service in ("slack", "teams", "google_chat", "discord"):
            outbox.action("webhook", {"url": receiver.url, "format": service}, bundle_seconds=seconds)
    outbox.action("email", {"recipients": ["+14155550100@txt.example.com"]}, after_minutes=15)
    for _ in range(2):
        summary = f"12 messages of account {ACCOUNT}"
        outbox.notify(outbox.alert(group={"account_sid": ACCOUNT}, summary=summary, escalates_from=outbox.clock()))
    outbox.deliver(seconds=60)
    contents = [json.dumps(each.content, ensure_ascii=False) for each in outbox.deliveries()]
    assert len(contents) == 25, "two firings for ten actions, and five digests"
    assert not [each for each in contents if "415 555" in each or "14155550100" in each]
    assert [each for each in contents if "Support +1415•••0100" in each]
    assert [each for each in contents if "the email action to +1415•••0100@txt.example.com" in each]


def test_a_bundle_names_a_few_rules_and_accounts() -> None:
    sids = [f"AC{number:032x}" for number in range(5)]
    items = [{"headline": f"Firing: Rule {number}: x", "accounts": dict.fromkeys(sids)} for number in range(5)]
    story = bundle_text._summary([*items, items[0]])
    assert story.startswith(f"Rule 0: x (2 alerts, {sids[0]}, {sids[1]}, {sids[2]}, 2 more); Rule 1: x (")
    assert story.endswith("; and 2 more rules")
    assert bundle_text._summary([{"headline": "Firing: Alone", "accounts": {}}]) == "Alone"


def test_a_bundle_of_a_disabled_action_fails_and_can_be_retried(outbox: Outbox, receiver: Receiver) -> None:
    action = bundling(outbox, receiver)
    ids = [outbox.notify(outbox.alert())[0] for _ in range(2)]
    change(outbox, action, enabled=False)
    assert {each.status for each in outbox.deliveries()} == {"failed"}
    outbox.deliver(seconds=60)
    assert receiver.requests == []
    change(outbox, action, enabled=True)
    with session_scope() as session:
        retry(session, ids[0], outbox.clock())
    outbox.deliver()
    assert said(receiver) == ["alert.firing"]


def test_a_bundle_ends_and_becomes_no_digest_after_an_edit_to_a_receiver_that_takes_none(
    outbox: Outbox, receiver: Receiver
) -> None:
    action = bundling(outbox, receiver)
    ids = [outbox.notify(outbox.alert())[0] for _ in range(2)]
    config = {"url": receiver.url, "format": "pagerduty", "routing_key": "a" * 32, "secret": None}
    change(outbox, action, config={name: value for name, value in config.items() if value}, bundle_seconds=0)
    outbox.deliver(seconds=60)
    assert (outbox.deliveries(type="alert.digest"), receiver.requests) == ([], []), "PagerDuty reads no other format"
    for each in ids:
        [attempt] = outbox.attempts(each)
        assert attempt.error == "made for the format standard: the action's format was changed since"
    change(outbox, action, config={"url": receiver.url})
    for each in ids:
        with session_scope() as session:
            retry(session, each, outbox.clock())
    outbox.deliver()
    assert said(receiver) == ["alert.firing"] * 2


def test_a_bundle_is_no_part_of_a_flood(outbox: Outbox, receiver: Receiver) -> None:
    bundling(outbox, receiver)
    for _ in range(30):
        outbox.notify(outbox.alert())
    outbox.deliver(seconds=60)
    [request] = receiver.requests
    told = json.loads(request.body)["data"]["digest"]
    assert (told["count"], len(told["items"]), told["more"]) == (30, 20, 10)


@pytest.mark.parametrize("repeat", range(3))
def test_a_resolve_and_the_end_of_the_bundle_at_one_moment_agree(
    outbox: Outbox, receiver: Receiver, repeat: int
) -> None:
    bundling(outbox, receiver)
    alerts = [outbox.alert(), outbox.alert()]
    for alert in alerts:
        outbox.notify(alert)
    outbox.clock.advance(seconds=60)

    def resolve(alert: Alert) -> None:
        with session_scope() as session:
            notice = make_notice(NotificationType.RESOLVED, alert)
            enqueue(session, [notice], get_settings(), outbox.clock())

    worker = threading.Thread(target=resolve, args=(alerts[0],))
    worker.start()
    with session_scope() as session:
        bundle.release_due(session, get_settings(), withheld, outbox.clock())
    worker.join(PATIENCE_SECONDS)
    outbox.deliver()
    outbox.deliver(seconds=1)
    firing_told = any(each.type == "alert.firing" for each in outbox.deliveries(alert_id=alerts[0].id))
    end_told = any(each.type == "alert.resolved" for each in outbox.deliveries(alert_id=alerts[0].id))
    assert firing_told == end_told


def test_the_common_cause_of_a_bundle() -> None:
    cause, link = bundle_text.common_cause, "text has a link to bit.ly"
    assert cause([link, link]) == f"Most logs of all 2 alerts have this in common: {link}."
    assert (
        bundle_text.common_cause([link, None, link]) == f"Most logs of 2 of the 3 alerts have this in common: {link}."
    )
    assert cause([link, "to France", None]) is None
    assert cause([None, None]) is None
