"""Deliveries on their way: attempts, retries, order, limits, and what becomes of an action whose receiver fails."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from itertools import count, pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import select, text
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.actions import smtp
from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict
from app.metrics import DELIVERIES
from app.models import Alert, Counter
from app.services import rule_admin, self_monitoring
from app.services.outbox import actions, cancellation, claim, dispatch
from app.services.outbox.action_config import config_of
from app.services.outbox.retry import retry
from app.utils.clock import utc_now
from tests.conftest import forget
from tests.integration.outbox.conftest import SCHEDULE, Outbox
from tests.kits.mailboxes import Mailbox
from tests.kits.receivers import Receiver, Request, http_receiver, respond, say


def test_a_delivery_reaches_its_receiver_and_is_on_record(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    assert outbox.deliver() == 1
    [request] = receiver.requests
    assert request.headers["webhook-id"] == str(delivery)
    [attempt] = outbox.attempts(delivery)
    assert (attempt.outcome, attempt.status_code, attempt.response) == ("succeeded", 200, "ok")
    assert outbox.delivery(delivery).status == "succeeded"
    assert outbox.deliver() == 0


def test_retries_keep_to_the_schedule_and_send_the_same(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500, b"broken"), respond(503), respond(200)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    for wait in SCHEDULE[:2]:
        assert outbox.deliver() == 1
        assert wait <= outbox.waits(delivery) <= wait * 1.2
        assert outbox.deliver(seconds=wait - 0.5) == 0, "never earlier than promised"
        outbox.clock.advance(seconds=0.5 + wait * 0.2)
    assert outbox.deliver() == 1
    assert [attempt.outcome for attempt in outbox.attempts(delivery)] == ["retry", "retry", "succeeded"]
    assert len({request.body for request in receiver.requests}) == 1
    assert {request.headers["webhook-id"] for request in receiver.requests} == {str(delivery)}


def test_a_delivery_fails_when_its_retries_are_used_up_and_can_be_retried_manually(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(500)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    for _ in range(len(SCHEDULE) + 1):
        outbox.deliver(hours=1)
    assert outbox.delivery(delivery).status == "failed"
    assert len(outbox.attempts(delivery)) == len(SCHEDULE) + 1
    assert outbox.deliver(hours=1) == 0
    receiver.answers = [respond(500), respond(200)]
    with session_scope() as session:
        retry(session, delivery, outbox.clock())
    assert outbox.deliver() == 1
    assert outbox.delivery(delivery).status == "pending", "the schedule begins anew"
    assert outbox.deliver(hours=1) == 1
    assert outbox.delivery(delivery).status == "succeeded"
    with session_scope() as session, pytest.raises(Conflict):
        retry(session, delivery, outbox.clock())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "succeeded"),
        (204, "succeeded"),
        (301, "failed"),
        (302, "failed"),
        (400, "failed"),
        (401, "failed"),
        (404, "failed"),
        (408, "retry"),
        (410, "failed"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ],
)
def test_a_status_decides_what_becomes_of_a_delivery(
    outbox: Outbox, receiver: Receiver, status: int, outcome: str
) -> None:
    receiver.answers = [respond(status, b"", Location="http://169.254.169.254/")]
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert (attempt.outcome, attempt.status_code) == (outcome, status)
    assert len(receiver.requests) == 1
    assert outbox.stored(action).enabled == (status != 410)


@pytest.mark.parametrize("line", [b"HTTP/2 200\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n", b"HTTP/1.1 200 OK"])
def test_a_delivery_with_a_malformed_status_line_is_sent_once(outbox: Outbox, receiver: Receiver, line: bytes) -> None:
    outbox.webhook(receiver)
    receiver.answers = [say(line)]
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    outbox.deliver(hours=1)
    assert (outbox.delivery(delivery).status, len(receiver.requests)) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("asked", "at_least", "at_most"),
    [
        ("120", 120, 120),
        ("PT2M", 120, 120),
        ("1m30s; busy", 90, 90),
        ("999999", 3600, 3600),
        ("junk", 5, 6),
        ("-5", 5, 6),
        ("1e9", 5, 6),
        ("0", 5, 6),
    ],
)
def test_retry_after_is_honoured_up_to_an_hour_and_junk_is_ignored(
    outbox: Outbox, receiver: Receiver, asked: str, at_least: float, at_most: float
) -> None:
    receiver.answers = [respond(429, b"", Retry_After=asked)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    assert at_least <= outbox.waits(delivery) <= at_most


@pytest.mark.parametrize(("hours", "at_least", "at_most"), [(0.5, 1790, 1800), (48, 3600, 3600), (-1, 5, 6)])
def test_a_date_to_retry_after_is_honoured_up_to_an_hour_and_one_that_has_passed_is_ignored(
    outbox: Outbox, receiver: Receiver, hours: float, at_least: float, at_most: float
) -> None:
    asked = format_datetime(utc_now() + timedelta(hours=hours), usegmt=True)
    receiver.answers = [respond(503, b"", Retry_After=asked)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    assert at_least <= outbox.waits(delivery) <= at_most


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_bad_bytes_is_kept_as_text_and_no_further_than_its_first_kibibyte(
    outbox: Outbox, receiver: Receiver, status: int
) -> None:
    receiver.answers = [respond(status, b"ab\x00\xff\xfe\xed\xa0\x80" + b"z" * 300_000)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert (attempt.status_code, attempt.outcome) == (status, "succeeded" if status == 200 else "retry")
    kept = attempt.response or ""
    assert kept.startswith("ab")
    assert kept.endswith("z" * 900)
    assert len(kept) <= 1024
    assert "\x00" not in kept
    assert kept.isascii() or "\ufffd" in kept, "what is no text is replaced"


def test_a_receiver_that_is_gone_disables_its_action_and_fails_pending_deliveries(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(500), respond(410)]
    action = outbox.webhook(receiver)
    [first] = outbox.notify(outbox.alert())
    outbox.deliver()
    [second] = outbox.notify(outbox.alert())
    outbox.deliver()
    stored = outbox.stored(action)
    assert not stored.enabled
    assert stored.disabled_reason == "the receiver answered 410: it is gone"
    assert outbox.delivery(first).status == outbox.delivery(second).status == "failed"
    assert "disabled" in (outbox.attempts(first)[-1].error or "")
    assert outbox.notify(outbox.alert()) == []


def test_the_alert_about_a_disabled_action_names_its_receiver_and_no_secret_path(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(410)]
    outbox.webhook(receiver)
    outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        self_monitoring.update_built_in_alerts(session, get_settings(), outbox.clock())
        [summary] = session.scalars(select(Alert.summary).where(Alert.rule_name == self_monitoring.ACTION_DISABLED))
    host = urlsplit(receiver.url).netloc
    assert summary == f"the webhook action to {host} is disabled: the receiver answered 410: it is gone"


def test_a_disabled_action_fails_its_pending_deliveries_and_a_retry_after_enabling_sends_it(
    outbox: Outbox, receiver: Receiver
) -> None:
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        actions.patch(session, action, {"enabled": False}, get_settings(), outbox.clock())
    assert outbox.delivery(delivery).status == "failed"
    with session_scope() as session:
        retry(session, delivery, outbox.clock())
    assert outbox.deliver() == 0
    assert outbox.delivery(delivery).status == "failed"
    with session_scope() as session:
        actions.patch(session, action, {"enabled": True}, get_settings(), outbox.clock())
        retry(session, delivery, outbox.clock())
    assert outbox.deliver() == 1
    assert outbox.delivery(delivery).status == "succeeded"


def test_deleting_an_action_fails_its_pending_deliveries(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        actions.delete(session, action, outbox.clock())
    assert outbox.delivery(delivery).status == "failed"
    assert outbox.attempts(delivery)[-1].error == "the action was deleted"
    assert receiver.requests == []
    with session_scope() as session, pytest.raises(Conflict, match="was deleted"):
        retry(session, delivery, outbox.clock())


def test_a_delivery_in_flight_when_its_action_is_deleted_ends_even_if_the_worker_dies(
    outbox: Outbox, receiver: Receiver
) -> None:
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        assert len(claim.claim_due(session, outbox.clock(), 1, SCHEDULE)) == 1
    with session_scope() as session:
        actions.delete(session, action, outbox.clock())
    outbox.deliver(minutes=5)
    assert outbox.delivery(delivery).status == "failed"
    assert [attempt.outcome for attempt in outbox.attempts(delivery)] == ["unknown", "failed"]


def test_orphaned_deliveries_of_an_earlier_release_fail_and_others_are_sent(outbox: Outbox, receiver: Receiver) -> None:
    gone, whole = outbox.webhook(receiver), outbox.webhook(receiver)
    deliveries = {each.action_id: each.id for each in map(outbox.delivery, outbox.notify(outbox.alert()))}
    with session_scope() as session:
        session.execute(text("DELETE FROM actions WHERE id = :id"), {"id": gone})
    outbox.deliver()
    assert outbox.delivery(deliveries[gone]).status == "failed"
    assert [attempt.error for attempt in outbox.attempts(deliveries[gone])] == ["the action was deleted"]
    assert outbox.delivery(deliveries[whole]).status == "succeeded"
    assert len(receiver.requests) == 1


def test_pending_deliveries_fail_with_a_reason_when_the_type_of_their_action_changes(
    outbox: Outbox, receiver: Receiver, mailbox: Mailbox
) -> None:
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        changes = {"action_type": "email", "config": {"recipients": ["ops@example.com"]}}
        actions.patch(session, action, changes, get_settings(), outbox.clock())
    outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert (outbox.delivery(delivery).status, attempt.outcome, attempt.error) == (
        "failed",
        "failed",
        cancellation.OTHER_KIND,
    )
    assert outbox.stored(action).failures_in_a_row == 0, "it says nothing of the new receiver"
    outbox.notify(outbox.alert())
    outbox.deliver()
    assert (len(receiver.requests), len(mailbox.mails)) == (0, 1)


@pytest.mark.parametrize(
    ("before", "after"), [("slack", "pagerduty"), ("pagerduty", "slack"), ("slack", "teams"), ("standard", "discord")]
)
def test_what_was_made_in_one_format_is_not_sent_after_a_change_to_another(
    outbox: Outbox, receiver: Receiver, before: str, after: str
) -> None:
    def config(name: str) -> dict[str, Any]:
        key = {"routing_key": "a" * 32} if name == "pagerduty" else {}
        return {"url": receiver.url, "format": name} | key

    action = outbox.action("webhook", config(before))
    receiver.answers = [respond(500), respond(202)]
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        actions.patch(session, action, {"config": config(after)}, get_settings(), outbox.clock())
    outbox.deliver(hours=1)
    assert outbox.delivery(delivery).status == "failed"
    error = f"made for the format {before}: the action's format was changed since"
    assert outbox.attempts(delivery)[-1].error == error
    with session_scope() as session:
        retry(session, delivery, outbox.clock())
    outbox.deliver()
    assert len(receiver.requests) == 1, "a manual retry does not send it either"
    with session_scope() as session:
        actions.patch(session, action, {"config": config(before)}, get_settings(), outbox.clock())
        retry(session, delivery, outbox.clock())
    outbox.deliver()
    assert outbox.delivery(delivery).status == "succeeded"


def test_retries_to_a_receiver_that_is_down_keep_to_the_schedule(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500)]
    outbox.webhook(receiver)
    deliveries = [outbox.notify(outbox.alert())[0] for _ in range(8)]
    while pending := outbox.deliveries(status="pending"):
        due_at = min(each.next_attempt_at for each in pending if each.next_attempt_at)
        outbox.clock.now = max(due_at, outbox.clock() + timedelta(seconds=0.5))
        outbox.deliver()
    made = [outbox.attempts(each) for each in deliveries]
    assert {len(attempts) for attempts in made} == {len(SCHEDULE) + 1}
    waits = [[(b.at - a.at).total_seconds() for a, b in pairwise(attempts)] for attempts in made]
    for wait, *seen in zip(SCHEDULE, *waits, strict=True):
        assert all(wait <= each <= wait * 1.2 + 2 for each in seen)


def test_deliveries_of_one_alert_to_one_receiver_go_in_order(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500), respond(200)]
    outbox.webhook(receiver)
    alert = outbox.alert()
    [firing] = outbox.notify(alert)
    [resolved] = outbox.notify(alert, "resolved")
    assert outbox.deliver() == 1
    assert outbox.attempts(resolved) == []
    assert outbox.deliver(seconds=6) == 2
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids == [str(firing), str(firing), str(resolved)]


def test_a_webhook_whose_url_is_edited_still_gets_its_deliveries_in_order(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500), respond(200)]
    action_id = outbox.webhook(receiver)
    alert = outbox.alert()
    [firing] = outbox.notify(alert)
    outbox.deliver()
    with session_scope() as session:
        actions.patch(session, action_id, {"config": {"url": f"{receiver.url}/moved"}}, get_settings(), outbox.clock())
    [resolved] = outbox.notify(alert, "resolved")
    assert outbox.deliver() == 0
    outbox.deliver(seconds=6)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids == [str(firing), str(firing), str(resolved)]


def test_a_slow_receiver_delays_no_other(outbox: Outbox, receiver: Receiver) -> None:
    with http_receiver(say(b"", then_wait=30)) as slow:
        outbox.webhook(slow)
        fast = outbox.webhook(receiver)
        for _ in range(6):
            outbox.notify(outbox.alert())
        assert outbox.deliver() >= 8
    assert all(each.status == "succeeded" for each in outbox.deliveries(action_id=fast))


def test_receivers_that_are_down_do_not_block_other_receivers(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MAX_IN_FLIGHT", 1)
    with http_receiver(respond(500)) as down:
        for _ in range(15):
            outbox.webhook(down)
        alert = outbox.alert()
        outbox.notify(alert)
        outbox.notify(alert, "resolved")  # each waits for the firing, which waits for its retry
        outbox.deliver()
        up = outbox.webhook(receiver)
        outbox.clock.advance(seconds=1)
        outbox.notify(outbox.alert())
        outbox.deliver()
    assert [each.status for each in outbox.deliveries(action_id=up)] == ["succeeded"]


def test_no_more_than_two_deliveries_of_an_action_are_in_flight_at_once(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    for _ in range(6):
        outbox.notify(outbox.alert())
    with session_scope() as session:
        assert len(claim.claim_due(session, outbox.clock(), 100, SCHEDULE)) == 2
    with session_scope() as session:
        assert claim.claim_due(session, outbox.clock(), 100, SCHEDULE) == []
    assert {each.attempt_count for each in outbox.deliveries(action_id=action)} == {0, 1}


def test_a_receiver_that_is_down_gets_one_probe_and_no_retry_is_lost_or_late(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(500)]
    action = outbox.webhook(receiver)
    deliveries = [outbox.notify(outbox.alert())[0] for _ in range(8)]
    outbox.deliver()
    stored = outbox.stored(action)
    assert stored.failures_in_a_row >= 5
    assert stored.probe_at is not None
    tried = len(receiver.requests)
    assert tried < len(deliveries), "the others wait for the probe"
    outbox.deliver(seconds=SCHEDULE[0])
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(deliveries), (
        "no later than that"
    )
    for _ in range(len(SCHEDULE) + 2):
        outbox.deliver(hours=1)
    assert {len(outbox.attempts(each)) for each in deliveries} == {len(SCHEDULE) + 1}, "each had all its attempts"


def test_a_receiver_that_answers_again_closes_the_breaker(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500)]
    action = outbox.webhook(receiver)
    for _ in range(6):
        outbox.notify(outbox.alert())
    outbox.deliver()
    receiver.answers = [respond(200)]
    outbox.deliver(minutes=10)
    stored = outbox.stored(action)
    assert (stored.failures_in_a_row, stored.probe_at, stored.failing_since) == (0, None, None)
    assert {each.status for each in outbox.deliveries()} == {"succeeded"}


def test_five_days_of_nothing_but_failure_disable_an_action(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500)]
    action = outbox.webhook(receiver)
    for _ in range(8):
        outbox.notify(outbox.alert())
        for _ in range(len(SCHEDULE) + 1):
            outbox.deliver(hours=1)
    outbox.clock.advance(days=5)
    outbox.notify(outbox.alert())
    for _ in range(len(SCHEDULE) + 1):
        assert outbox.deliver(hours=1) == 1
    assert outbox.stored(action).enabled, "nine deliveries are too few to judge by"
    outbox.notify(outbox.alert())
    assert outbox.deliver(hours=1) == 1
    assert outbox.stored(action).disabled_reason == "nothing but failures for 5 days"


def test_one_success_in_five_days_keeps_an_action(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500)]
    action = outbox.webhook(receiver)
    for day in range(12):
        receiver.answers = [respond(200 if day == 6 else 500)]
        outbox.notify(outbox.alert())
        for _ in range(len(SCHEDULE) + 1):
            outbox.deliver(hours=1)
        outbox.clock.advance(hours=8)
    assert outbox.stored(action).enabled


def _break_config(outbox: Outbox, environment: pytest.MonkeyPatch) -> None:
    with session_scope() as session:
        session.execute(text("UPDATE actions SET config = 'no token'"))


def _block_address(outbox: Outbox, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8")
    forget()


def _make_for_other_type(outbox: Outbox, environment: pytest.MonkeyPatch) -> None:
    with session_scope() as session:
        session.execute(text("UPDATE deliveries SET action_type = 'email' WHERE attempt_count = 0"))


@pytest.mark.parametrize("fault", [_break_config, _block_address, _make_for_other_type])
def test_a_failure_on_our_side_neither_counts_for_the_breaker_nor_resets_it(
    outbox: Outbox,
    receiver: Receiver,
    environment: pytest.MonkeyPatch,
    fault: Callable[[Outbox, pytest.MonkeyPatch], None],
) -> None:
    receiver.answers = [respond(500)]
    down = outbox.webhook(receiver)
    for _ in range(6):
        outbox.notify(outbox.alert())
    for _ in range(len(SCHEDULE) + 1):
        outbox.deliver(hours=1)
    before = outbox.stored(down)
    assert before.failures_in_a_row >= 5
    new = outbox.webhook(receiver)
    made = outbox.notify(outbox.alert())
    fault(outbox, environment)
    outbox.deliver(hours=1)
    assert [(outbox.delivery(each).status, len(outbox.attempts(each))) for each in made] == [("failed", 1)] * 2
    after, untried = outbox.stored(down), outbox.stored(new)
    assert (after.failures_in_a_row, after.probe_at, after.failing_since) == (
        before.failures_in_a_row,
        before.probe_at,
        before.failing_since,
    )
    assert (untried.failures_in_a_row, untried.probe_at, untried.failing_since) == (0, None, None)


def test_mails_without_a_mail_server_do_not_disable_their_action(
    outbox: Outbox, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("SMTP_HOST")
    forget()
    action = outbox.email("ops@example.com")
    for _ in range(12):
        outbox.notify(outbox.alert())
        assert outbox.deliver(hours=12) == 1
    stored = outbox.stored(action)
    assert (stored.enabled, stored.failing_since) == (True, None)


def test_an_outcome_after_the_lease_changes_nothing(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        [late] = claim.claim_due(session, outbox.clock(), 1, SCHEDULE)
        session.expunge_all()
    outbox.clock.advance(minutes=5)
    assert outbox.deliver() == 1
    from app.enums import AttemptOutcome
    from app.services.outbox.record import AttemptResult, record

    with session_scope() as session:
        record(session, [(late, AttemptResult(AttemptOutcome.FAILED, error="too late"))], SCHEDULE, outbox.clock())
    assert outbox.delivery(delivery).status == "succeeded"
    assert [attempt.outcome for attempt in outbox.attempts(delivery)] == ["unknown", "succeeded"]


def test_a_delivery_that_kills_its_workers_is_given_up(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    for _ in range(claim.MAX_UNKNOWN_OUTCOMES):
        with session_scope() as session:
            assert len(claim.claim_due(session, outbox.clock(), 1, SCHEDULE)) == 1
        outbox.clock.advance(minutes=5)
    outbox.deliver()
    assert receiver.requests == []
    assert outbox.delivery(delivery).status == "failed"


def test_a_worker_that_slept_over_its_lease_gives_the_delivery_back(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        [mine] = claim.claim_due(session, outbox.clock(), 1, SCHEDULE)
        session.expunge_all()
    monkeypatch.setattr(claim, "LEASE_MARGIN", timedelta(seconds=dispatch.RECORDING_MARGIN_SECONDS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "_now", lambda session, clock: outbox.clock())
        dispatch.deliver_claimed(get_settings(), outbox.runner, [mine])
    assert receiver.requests == []
    assert outbox.attempts(delivery) == []
    assert outbox.delivery(delivery).attempt_count == 0


def test_deliveries_of_a_dead_worker_are_sent_within_a_minute(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        assert len(claim.claim_due(session, outbox.clock(), 1, SCHEDULE)) == 1
    assert outbox.deliver(seconds=45) == 0, "that worker may still be sending"
    assert outbox.deliver(seconds=15) == 1
    assert [each.outcome for each in outbox.attempts(delivery)] == ["unknown", "succeeded"]
    with session_scope() as session:
        counted = session.execute(
            text(
                "SELECT labels::json ->> 'outcome', sum(value) FROM counters"
                " WHERE name = 'giftpulse_deliveries_total' GROUP BY 1"
            )
        )
        assert {outcome: number for outcome, number in counted} == {"unknown": 1, "succeeded": 1}  # noqa: C416  # rows


def test_a_test_answers_with_its_outcome_and_is_tried_once(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(500)]
    action = outbox.webhook(receiver)
    [delivery] = actions.send_test(action, get_settings(), utc_now())
    assert outbox.delivery(delivery).status == "failed"
    assert len(outbox.attempts(delivery)) == 1
    assert outbox.stored(action).failing_since is None
    told = json.loads(receiver.requests[0].body)
    assert (told["type"], told["data"]["alert"]["status"]) == ("action.test", "firing")


def test_a_disabled_action_can_be_tried(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.action("webhook", {"url": receiver.url}, enabled=False)
    [delivery] = actions.send_test(action, get_settings(), utc_now())
    assert outbox.delivery(delivery).status == "succeeded"
    assert not outbox.stored(action).enabled


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_webhook_goes_by_the_method_and_with_the_headers_of_its_action(
    outbox: Outbox, receiver: Receiver, method: str
) -> None:
    outbox.webhook(receiver, method=method, headers={"X-Team": "ops"})
    outbox.notify(outbox.alert())
    outbox.deliver()
    [request] = receiver.requests
    assert (request.method, request.target, request.headers["x-team"]) == (method, "/hook", "ops")


def test_an_action_is_notified_of_its_rule_severities_and_types_only(outbox: Outbox, receiver: Receiver) -> None:
    with session_scope() as session:
        body = {"name": "Rule", "log_type": "message", "pattern_type": "any"}
        rule = rule_admin.create(session, body, get_settings(), outbox.clock()).id
    url = {"url": receiver.url}
    every = outbox.webhook(receiver)
    of_rule = outbox.action("webhook", url, rule_id=str(rule))
    severe = outbox.action("webhook", url, min_severity="critical")
    updates = outbox.action("webhook", url, notify_on=["update"])
    outbox.action("webhook", url, enabled=False)

    def told(kind: str, **fields: Any) -> set[UUID]:
        return {outbox.delivery(each).action_id for each in outbox.notify(outbox.alert(**fields), kind)}

    assert told("firing") == {every}
    assert told("firing", rule_id=rule) == {every, of_rule}
    assert told("firing", severity="critical") == {every, severe}
    assert told("update", severity="info") == {every, updates}


def test_frozen_content_is_sent_after_the_template_of_its_action_is_edited(
    outbox: Outbox, receiver: Receiver, mailbox: Mailbox
) -> None:
    receiver.answers = [respond(503), respond(200)]
    mailbox.codes = {"ops@example.com": ["451 later", "250 OK"]}
    webhook = outbox.webhook(receiver, body='{"text": "old"}')
    email = outbox.email("ops@example.com", subject="Old subject")
    outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        config = actions.masked_config(actions.get(session, webhook), get_settings()) | {"body": '{"text": "new"}'}
        actions.patch(session, webhook, {"config": config}, get_settings(), outbox.clock())
        config = {"recipients": ["ops@example.com"], "subject": "New subject"}
        actions.patch(session, email, {"config": config}, get_settings(), outbox.clock())
    outbox.deliver(seconds=6)
    assert [json.loads(request.body) for request in receiver.requests] == [{"text": "old"}] * 2
    assert [mail["Subject"] for _, mail in mailbox.mails] == ["Old subject"]


def test_an_attempt_shows_when_it_was_made_and_how_long_it_took(outbox: Outbox, receiver: Receiver) -> None:
    async def slowly(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await respond(200)(request, writer)

    receiver.answers = [slowly]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver(seconds=1)
    [attempt] = outbox.attempts(delivery)
    assert attempt.at == outbox.clock()
    assert 300 <= (attempt.duration_ms or 0) < 10_000


def test_deliveries_that_fail_without_an_attempt_are_counted_too(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    outbox.notify(outbox.alert())
    with session_scope() as session:
        actions.patch(session, action, {"enabled": False}, get_settings(), outbox.clock())
    with session_scope() as session:
        counted = session.execute(select(Counter.labels, Counter.value).where(Counter.name == DELIVERIES.name)).all()
    assert [(json.loads(labels), value) for labels, value in counted] == [
        ({"action_type": "webhook", "outcome": "failed"}, 1)
    ]


def test_a_rolled_back_alert_has_no_deliveries(outbox: Outbox, receiver: Receiver) -> None:
    outbox.webhook(receiver)
    alert = outbox.alert()
    from app.enums import NotificationType
    from app.services.outbox.enqueue import enqueue
    from app.services.outbox.notice import make_notice

    with pytest.raises(RuntimeError), session_scope() as session:
        enqueue(session, [make_notice(NotificationType.FIRING, alert)], get_settings(), outbox.clock())
        raise RuntimeError("the transaction fails")
    assert outbox.deliveries() == []


def test_a_resolve_goes_to_those_notified_of_the_firing(outbox: Outbox, receiver: Receiver) -> None:
    told = outbox.webhook(receiver)
    alert = outbox.alert()
    outbox.notify(alert)
    outbox.action("webhook", {"url": receiver.url})
    outbox.notify(alert, "resolved")
    assert [each.action_id for each in outbox.deliveries(type="alert.resolved")] == [told]


def test_each_recipient_of_a_mail_fares_alone(outbox: Outbox, mailbox: Mailbox) -> None:
    mailbox.codes = {"bad@example.com": ["550 no such user"], "busy@example.com": ["451 later", "250 OK"]}
    outbox.email("ok@example.com", "bad@example.com", "busy@example.com")
    outbox.notify(outbox.alert())
    outbox.deliver()
    assert {each.recipient: each.status for each in outbox.deliveries()} == {
        "ok@example.com": "succeeded",
        "bad@example.com": "failed",
        "busy@example.com": "pending",
    }
    outbox.deliver(seconds=6)
    assert sorted(recipient for recipient, _ in mailbox.mails) == ["busy@example.com", "ok@example.com"]


def test_a_mail_whose_fate_is_unknown_is_sent_again_under_its_one_id(outbox: Outbox, mailbox: Mailbox) -> None:
    mailbox.codes = {"DATA": ["drop", "250 OK"]}
    outbox.email("ops@example.com")
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    assert outbox.delivery(delivery).status == "pending"
    outbox.deliver(seconds=6)
    first, second = mailbox.to("ops@example.com")
    assert first.as_bytes() == second.as_bytes()
    assert first["Message-ID"] == f"<gp.{delivery}@example.com>"


def test_a_mail_server_that_takes_a_mail_and_says_so_too_late_gets_the_same_again(
    outbox: Outbox, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = Mailbox.handle_DATA, count(1)

    async def take_and_say_nothing_at_first(self: Mailbox, *of: Any) -> str:
        answer = await take(self, *of)
        if next(taken) == 1:
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(Mailbox, "handle_DATA", take_and_say_nothing_at_first)
    outbox.email("ops@example.com")
    [delivery] = outbox.notify(outbox.alert())
    with monkeypatch.context() as impatient:
        impatient.setattr(smtp, "ATTEMPT_SECONDS", 3.0)
        outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert attempt.error == "the mail server did not answer in time (content)"
    outbox.deliver(seconds=6)
    first, second = mailbox.to("ops@example.com")
    assert first.as_bytes() == second.as_bytes()
    assert outbox.delivery(delivery).status == "succeeded"


@pytest.mark.parametrize(("rotated_hours_ago", "old_verifies"), [(0, True), (23, True), (25, False)])
def test_receivers_verify_the_old_secret_for_a_day_and_the_new_one_at_once(
    outbox: Outbox, receiver: Receiver, rotated_hours_ago: int, old_verifies: bool
) -> None:
    action = outbox.webhook(receiver)
    with session_scope() as session:
        stored = actions.get(session, action)
        old = config_of(stored, get_settings())["secret"]
        masked = actions.masked_config(stored, get_settings())
        at = utc_now() - timedelta(hours=rotated_hours_ago)
        new = actions.patch(session, action, {"config": masked | {"secret": None}}, get_settings(), at)[1]["secret"]
    actions.send_test(action, get_settings(), utc_now())
    [request] = receiver.requests
    Verifier(new).verify(request.body, request.headers)
    if old_verifies:
        Verifier(old).verify(request.body, request.headers)
    else:
        with pytest.raises(WebhookVerificationError):
            Verifier(old).verify(request.body, request.headers)


def test_nothing_secret_is_stored_in_clear(outbox: Outbox, receiver: Receiver) -> None:
    canary = "canary-0123456789"
    outbox.action(
        "webhook",
        {"url": f"http://user:{canary}@127.0.0.1:{receiver.port}/hook?token={canary}", "headers": {"X-Key": canary}},
    )
    receiver.answers = [respond(404, b"no")]
    outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        for table in ("actions", "deliveries", "attempts"):
            rows = session.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")).scalars().all()
            assert rows
            assert not any(canary in row for row in rows)
    assert receiver.requests[0].headers["x-key"] == canary


def test_a_secret_that_is_rotated_between_two_attempts_signs_beside_the_old_one(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(503), respond(200)]
    action = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        old = config_of(actions.get(session, action), get_settings())["secret"]
        config = actions.masked_config(actions.get(session, action), get_settings()) | {"secret": None}
        new = actions.patch(session, action, {"config": config}, get_settings(), utc_now())[1]["secret"]
    outbox.deliver(seconds=6)
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, str(delivery))
    Verifier(old).verify(first.body, first.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(new).verify(first.body, first.headers)
    for secret in (old, new):
        Verifier(secret).verify(second.body, second.headers)


def test_pending_deliveries_are_sent_after_their_recipient_is_removed_from_the_action(
    outbox: Outbox, mailbox: Mailbox
) -> None:
    mailbox.codes = {"old@example.com": ["451 later", "250 OK"]}
    action = outbox.email("ops@example.com", "old@example.com")
    alert = outbox.alert()
    outbox.notify(alert)
    outbox.deliver()
    with session_scope() as session:
        actions.patch(session, action, {"config": {"recipients": ["ops@example.com"]}}, get_settings(), outbox.clock())
    outbox.notify(alert, "resolved")
    outbox.deliver(seconds=6)
    assert sorted(recipient for recipient, _ in mailbox.mails) == ["old@example.com", *["ops@example.com"] * 2]


def test_pending_deliveries_are_sent_after_their_action_changes_its_rule_or_the_rule_is_deleted(
    outbox: Outbox, receiver: Receiver
) -> None:
    with session_scope() as session:
        body = {"name": "Rule", "log_type": "message", "pattern_type": "any"}
        served, other = (rule_admin.create(session, body, get_settings(), outbox.clock()).id for _ in range(2))
    action = outbox.action("webhook", {"url": receiver.url}, rule_id=str(served))
    alert = outbox.alert(rule_id=served, firing_notified_at=outbox.clock())
    [firing] = outbox.notify(alert)
    with session_scope() as session:
        actions.patch(session, action, {"rule_id": str(other)}, get_settings(), outbox.clock())
        rule_admin.delete(session, served, get_settings(), outbox.clock())
    outbox.deliver()
    [resolved] = outbox.deliveries(type="alert.resolved")
    assert {each.status for each in outbox.deliveries()} == {"succeeded"}
    assert [request.headers["webhook-id"] for request in receiver.requests] == [str(firing), str(resolved.id)]


def test_a_delivery_in_flight_cannot_be_retried(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(404)]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    with session_scope() as session:
        retry(session, delivery, outbox.clock())
    with session_scope() as session:
        [claimed] = claim.claim_due(session, outbox.clock(), 1, SCHEDULE)
        session.expunge_all()
    for _ in range(2):
        with session_scope() as session, pytest.raises(Conflict, match="is pending"):
            retry(session, delivery, outbox.clock())
    stored = outbox.delivery(delivery)
    assert (stored.lease_token, stored.retries_from, stored.attempt_count) == (claimed.token, 1, 2)
    assert outbox.deliver() == 0


def test_a_manual_retry_out_of_order_delays_only_later_deliveries(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(404), respond(200), respond(503), respond(200)]
    outbox.webhook(receiver)
    alert = outbox.alert()
    [firing], [update] = outbox.notify(alert), outbox.notify(alert, "update")
    outbox.deliver()
    assert (outbox.delivery(firing).status, outbox.delivery(update).status) == ("failed", "succeeded")
    with session_scope() as session:
        retry(session, firing, outbox.clock())
    [resolved] = outbox.notify(alert, "resolved")
    outbox.deliver()
    assert outbox.attempts(resolved) == []
    outbox.deliver(seconds=6)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids == [str(each) for each in (firing, update, firing, firing, resolved)]


@pytest.mark.parametrize(
    "body",
    [
        '{"a": {{ 1 // (alert.occurrences - 7000000) }}}',
        '{"a": [{% for i in range(alert.occurrences) %}1,{% endfor %}1]}',
        '{"a": {% if alert.occurrences == 7000000 %}no json{% else %}1{% endif %}}',
    ],
)
def test_a_template_that_fails_on_an_alert_costs_its_text_and_the_attempt_says_so(
    outbox: Outbox, receiver: Receiver, body: str
) -> None:
    outbox.webhook(receiver, body=body)
    [delivery] = outbox.notify(outbox.alert(occurrences=7_000_000))
    outbox.deliver()
    [request], [attempt] = receiver.requests, outbox.attempts(delivery)
    assert json.loads(request.body)["type"] == "alert.firing"
    assert attempt.outcome == "succeeded"
    assert "built-in" in (attempt.error or "")


def test_a_redirect_to_metadata_fails_and_says_that_redirects_are_not_followed(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answers = [respond(302, b"", Location="http://169.254.169.254/latest/meta-data/")]
    outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert outbox.delivery(delivery).status == "failed"
    assert "redirects are not followed" in (attempt.error or "")
    assert (receiver.connections, len(receiver.requests)) == (1, 1)


def test_a_server_without_starttls_leaves_pending_deliveries_for_a_retry_and_says_why(
    outbox: Outbox, mailbox: Mailbox, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SMTP_SECURITY", "starttls")
    forget()
    outbox.email("ops@example.com")
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    [attempt] = outbox.attempts(delivery)
    assert (attempt.outcome, mailbox.mails) == ("retry", [])
    assert "STARTTLS" in (attempt.error or "")
