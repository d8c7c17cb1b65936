"""All failed deliveries of an action, retried together."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict, NotFound
from app.models import Delivery
from app.services.outbox import actions, digest, retry
from tests.integration.outbox.conftest import Outbox
from tests.kits.receivers import Receiver, respond


def retry_failed(outbox: Outbox, action_id: UUID, minutes: float = 60) -> int:
    since = outbox.clock() - timedelta(minutes=minutes)
    with session_scope() as session:
        counted = retry.count_failed(session, action_id, since)
        retried = retry.retry_failed(session, action_id, since, outbox.clock())
    assert counted == retried
    return retried


def test_all_failed_deliveries_since_a_time_are_sent_again(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(400)] * 4 + [respond(200)]
    action_id = outbox.webhook(receiver)
    outbox.email("ops@example.com")
    [early] = [each for each in outbox.notify(outbox.alert()) if outbox.delivery(each).action_id == action_id]
    outbox.deliver()
    outbox.clock.advance(minutes=30)
    late = [outbox.notify(outbox.alert()) for _ in range(3)]
    outbox.deliver()
    assert retry_failed(outbox, action_id, minutes=10) == 3
    assert outbox.delivery(early).status == "failed"
    assert outbox.deliver() == 3
    failed_again = [outbox.delivery(each).status for made in late for each in made]
    assert "failed" not in failed_again
    assert retry_failed(outbox, action_id, minutes=10) == 0
    assert retry_failed(outbox, action_id) == 1


def test_a_retried_delivery_has_its_whole_schedule_again_under_its_id(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [respond(400), respond(503), respond(200)]
    action_id = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    outbox.deliver()
    retry_failed(outbox, action_id)
    assert (outbox.delivery(delivery).retries_from, outbox.delivery(delivery).finished_at) == (1, None)
    outbox.deliver()
    assert outbox.waits(delivery) > 0
    outbox.deliver(seconds=10)
    assert outbox.delivery(delivery).status == "succeeded"
    assert {request.headers["webhook-id"] for request in receiver.requests} == {str(delivery)}


def test_a_retried_folded_delivery_waits_for_a_digest_again(outbox: Outbox, receiver: Receiver) -> None:
    action_id = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    kept = dict.fromkeys(digest.FOLDED_CONTENT, "x")
    with session_scope() as session:
        session.execute(update(Delivery).values(status="failed", content=kept, next_attempt_at=None))
    assert retry_failed(outbox, action_id) == 1
    assert (outbox.delivery(delivery).status, outbox.delivery(delivery).next_attempt_at) == ("folded", None)


def test_an_action_that_sends_nothing_is_refused(outbox: Outbox, receiver: Receiver) -> None:
    action_id = outbox.webhook(receiver)
    [delivery] = outbox.notify(outbox.alert())
    with session_scope() as session:
        actions.patch(session, action_id, {"enabled": False}, get_settings(), outbox.clock())
    assert outbox.delivery(delivery).status == "failed"
    with pytest.raises(Conflict, match="disabled"):
        retry_failed(outbox, action_id)
    with pytest.raises(NotFound):
        retry_failed(outbox, uuid4())
