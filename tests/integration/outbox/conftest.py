"""A database with the outbox, receivers for what it sends, and a clock that tests move."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.enums import NotificationType
from app.models import Action, Alert, Attempt, Delivery
from app.services.alerts.withholding import withheld
from app.services.outbox import actions, dispatch
from app.services.outbox.enqueue import enqueue
from app.services.outbox.notice import make_notice
from tests.conftest import forget
from tests.factories import alert_row
from tests.fakes import FrozenClock
from tests.kits.mailboxes import Mailbox, mail_server
from tests.kits.receivers import Receiver, http_receiver

SCHEDULE = (5, 30, 120)


@dataclass
class Outbox:
    """What the tests of the outbox do, by the product's own functions."""

    clock: FrozenClock
    runner: asyncio.Runner
    ids: dict[str, UUID] = field(default_factory=dict)

    def action(self, action_type: str, config: dict[str, Any], **fields: Any) -> UUID:
        with session_scope() as session:
            body = {"action_type": action_type, "config": config} | fields
            return actions.create(session, body, get_settings(), self.clock())[0].id

    def webhook(self, receiver: Receiver, **config: Any) -> UUID:
        return self.action("webhook", {"url": receiver.url} | config)

    def email(self, *recipients: str, **config: Any) -> UUID:
        return self.action("email", {"recipients": list(recipients)} | config)

    def alert(self, **fields: Any) -> Alert:
        plain: dict[str, Any] = {
            "rule_name": "Failed Call Detection",
            "group": {"to_country": "GB"},
            "summary": "12 calls with error 30003 to GB",
            "occurrences": 12,
            "sample_sids": ["CA" + "a" * 32],
            "error_code": 30003,
        }
        with session_scope() as session:
            alert = alert_row(self.clock(), **plain | fields)
            session.add(alert)
            session.flush()
            session.refresh(alert)
        return alert

    def notify(self, alert: Alert, kind: str = "firing") -> list[UUID]:
        """Make the deliveries of a notification, in one transaction, as the second stage does."""
        with session_scope() as session:
            before = set(session.scalars(select(Delivery.id)))
            enqueue(session, [make_notice(NotificationType(f"alert.{kind}"), alert)], get_settings(), self.clock())
        with session_scope() as session:
            rows = session.scalars(select(Delivery).order_by(Delivery.number))
            return [row.id for row in rows if row.id not in before]

    def deliver(self, **later: float) -> int:
        if later:
            self.clock.advance(**later)
        return dispatch.deliver_due(get_settings(), self.runner, withheld, self.clock)

    def delivery(self, delivery_id: UUID) -> Delivery:
        with session_scope() as session:
            found = session.get(Delivery, delivery_id)
            assert found is not None
            session.expunge(found)
            return found

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        with session_scope() as session:
            query = select(Attempt).where(Attempt.delivery_id == delivery_id).order_by(Attempt.id)
            rows = list(session.scalars(query))
            session.expunge_all()
            return rows

    def deliveries(self, **where: Any) -> list[Delivery]:
        with session_scope() as session:
            rows = list(session.scalars(select(Delivery).filter_by(**where).order_by(Delivery.number)))
            session.expunge_all()
            return rows

    def stored(self, action_id: UUID) -> Action:
        with session_scope() as session:
            found = session.get(Action, action_id)
            assert found is not None
            session.expunge(found)
            return found

    def waits(self, delivery_id: UUID) -> float:
        """Seconds until the next attempt."""
        at: datetime | None = self.delivery(delivery_id).next_attempt_at
        assert at is not None
        return (at - self.clock()) / timedelta(seconds=1)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as opened:
        yield opened


@pytest.fixture
def outbox(database: str, environment: pytest.MonkeyPatch, mailbox: Mailbox, clock: FrozenClock) -> Iterator[Outbox]:
    environment.setenv("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    environment.setenv("WEBHOOK_TIMEOUT_SECONDS", "2")
    environment.setenv("DELIVERY_RETRY_SECONDS", ",".join(map(str, SCHEDULE)))
    environment.setenv("SMTP_HOST", "127.0.0.1")
    environment.setenv("SMTP_PORT", str(mailbox.port))
    environment.setenv("SMTP_FROM", "GiftPulse <alerts@example.com>")
    environment.setenv("SMTP_SECURITY", "none")
    forget()
    with asyncio.Runner() as runner:
        yield Outbox(clock, runner)
