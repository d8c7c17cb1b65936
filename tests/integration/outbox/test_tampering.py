"""Rows that nobody can read any more, by tampering, a lost key or a newer version: they cost nobody else anything."""

from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict
from app.services.outbox import actions
from app.utils.crypto import encrypt
from tests.conftest import SECRET_KEY
from tests.integration.outbox.conftest import Outbox
from tests.kits.receivers import Receiver

TAMPERED = {
    "kind": {"action_type": "fax"},
    "severity": {"min_severity": "worst"},
    "token": {"config": "no token"},
    "nothing": {"config": ""},
    "another key": {"config": encrypt(["another-key-of-16-characters"], "{}")},
    **{
        f"config {config}": {"config": encrypt([SECRET_KEY], config)}
        for config in ("no json", "[]", "7", "{}", '{"url": 1}', '{"url": "http://[::1", "format": "standard"}')
    },
}


def tamper(action_id: UUID, values: dict[str, str]) -> None:
    with session_scope() as session:
        for column, value in values.items():
            session.execute(
                text(f"UPDATE actions SET {column} = :value WHERE id = :id"), {"value": value, "id": action_id}
            )


def test_unreadable_actions_do_not_stop_other_notifications(outbox: Outbox, receiver: Receiver) -> None:
    broken, whole = [outbox.webhook(receiver) for _ in TAMPERED], outbox.webhook(receiver)
    deliveries = {each.action_id: each.id for each in map(outbox.delivery, outbox.notify(outbox.alert()))}
    for action, values in zip(broken, TAMPERED.values(), strict=True):
        tamper(action, values)
    later = outbox.notify(outbox.alert())
    assert [outbox.delivery(each).action_id for each in later] == [whole]
    outbox.deliver()
    assert [outbox.delivery(each).status for each in (deliveries[whole], *later)] == ["succeeded"] * 2
    for action, name in zip(broken, TAMPERED, strict=True):
        assert outbox.delivery(deliveries[action]).status == "failed", name
        [attempt] = outbox.attempts(deliveries[action])
        assert (attempt.outcome, attempt.response) == ("failed", None), name
        assert "save the action again" in (attempt.error or "") or "SECRET_KEY" in (attempt.error or ""), name
    assert len(receiver.requests) == 2


def test_unreadable_actions_are_shown_and_can_be_replaced(outbox: Outbox, receiver: Receiver) -> None:
    action = outbox.webhook(receiver)
    for values in TAMPERED.values():
        tamper(action, values)
        with pytest.raises(Conflict):
            actions.send_test(action, get_settings(), outbox.clock())
        with session_scope() as session:
            assert actions.masked_config(actions.get(session, action), get_settings()) == {}
            body = {"action_type": "webhook", "config": {"url": receiver.url}}
            actions.replace(session, action, body, get_settings(), outbox.clock())
        [delivery] = actions.send_test(action, get_settings(), outbox.clock())
        assert outbox.delivery(delivery).status == "succeeded"


def test_deliveries_that_cannot_be_read_have_their_attempts_and_the_others_go_out(
    outbox: Outbox, receiver: Receiver
) -> None:
    outbox.webhook(receiver)
    changes = ("type = 'alert.odd'", "content = '{}'", "content = '[]'", "content = 'null'")
    broken = [outbox.notify(outbox.alert())[0] for _ in changes]
    with session_scope() as session:
        for delivery, change in zip(broken, changes, strict=True):
            session.execute(text(f"UPDATE deliveries SET {change} WHERE id = :id"), {"id": delivery})
    [whole] = outbox.notify(outbox.alert())
    outbox.deliver()
    assert [outbox.attempts(each)[0].outcome for each in broken] == ["retry"] * len(changes)
    assert outbox.delivery(whole).status == "succeeded"


def test_an_action_whose_text_cannot_be_made_does_not_stop_other_notifications(
    outbox: Outbox, receiver: Receiver
) -> None:
    broken, whole = outbox.email("ops@example.com"), outbox.webhook(receiver)
    tamper(broken, {"config": encrypt(get_settings().secret_keys, '{"recipients": ["ops@example.com"]}')})
    assert [outbox.delivery(each).action_id for each in outbox.notify(outbox.alert())] == [whole]
