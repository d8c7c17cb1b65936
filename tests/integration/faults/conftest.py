"""A GiftPulse whose stages are processes that may be killed, between a simulated Twilio and receivers with ledgers."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Attempt, Delivery, Log, LogChange, Match, Stream
from app.services import rule_admin
from app.services.ingest import accounts
from app.services.outbox import actions
from app.utils.clock import utc_now
from scripts.twilio_simulator import Simulator, SimulatorServer, add_messages
from tests.conftest import forget
from tests.kits.mailboxes import Mailbox, mail_server
from tests.kits.receivers import Receiver, http_receiver
from tests.kits.stages import Stages, let_leases_end, let_retries_come

FEW, TWO_PAGES = 10, 1001
"""How many messages there are: Twilio lists 1000 on a page."""


@dataclass
class CrashRig:
    """All that a story of crashes plays in, and what must always be true of it."""

    simulator: Simulator
    stages: Stages
    web: Receiver
    mail: Mailbox
    rules: list[UUID] = field(default_factory=list)

    def fill(self) -> None:
        """Let there be some messages, ten calls of which three fail, and the errors that belong to those."""
        add_messages(self.simulator, FEW, spacing_seconds=0.01, failing=0)
        for index in range(10):
            call = self.simulator.add_call(status="failed" if index < 3 else "completed", to="+447700900123")
            if index < 3:
                self.simulator.add_error(resource_sid=call, error_code="30003")

    def watch(self) -> None:
        """Make rules that the failed calls concern, and two actions, before all that."""
        each: dict[str, Any] = {"log_type": "call", "pattern_type": "error_code", "pattern_value": "30003"}
        some = each | {"condition": {"type": "threshold", "count": 3, "window_minutes": 5}}
        now = utc_now() - timedelta(hours=1)
        with session_scope() as session:
            accounts.ensure_environment_account(session, get_settings(), now)
            for name, body in (("Any", each), ("By number", each | {"group_by": ["to"]}), ("Some", some)):
                self.rules.append(rule_admin.create(session, {"name": name} | body, get_settings(), now).id)
            for kind, config in (("webhook", {"url": self.web.url}), ("email", {"recipients": ["a@example.com"]})):
                actions.create(session, {"action_type": kind, "config": config}, get_settings(), now)

    def go_on(self) -> None:
        """Let every stage work until nothing is left, as the ticks of beat would."""
        let_leases_end()
        for stage in ("poll", "evaluate", "deliver"):
            assert self.stages.run(stage) == 0
        while self.pending():
            let_retries_come()
            assert self.stages.run("deliver") == 0

    def point_webhook(self, action_id: UUID, url: str) -> None:
        """Let the webhook go to another address."""
        with session_scope() as session:
            actions.patch(session, action_id, {"config": {"url": url}}, get_settings(), utc_now())

    def stored(self) -> Counter[str]:
        with session_scope() as session:
            return Counter(session.scalars(select(Log.sid)))

    def emitted(self, log_type: str | None = None) -> set[str]:
        return {each.sid for each in self.simulator.emitted() if log_type in (None, each.kind.log_type)}

    def pending(self) -> int:
        return sum(each.status == "pending" for each in self.deliveries())

    def deliveries(self) -> list[Delivery]:
        with session_scope() as session:
            rows = list(session.scalars(select(Delivery).order_by(Delivery.number)))
            session.expunge_all()
            return rows

    def attempts(self) -> list[Attempt]:
        with session_scope() as session:
            rows = list(session.scalars(select(Attempt).order_by(Attempt.id)))
            session.expunge_all()
            return rows

    def received(self) -> Counter[str]:
        """Count what the receivers took, by the delivery's id."""
        hooks = [request.headers["webhook-id"] for request in self.web.requests]
        mails = [mail["Message-ID"].removeprefix("<gp.").partition("@")[0] for _, mail in self.mail.mails]
        return Counter(hooks + mails)

    def check_always(self) -> None:
        """Check what holds at every moment, in the middle of a crash, too."""
        stored = self.stored()
        assert set(stored) <= self.emitted()
        assert not stored or max(stored.values()) == 1, "a log is stored once"
        with session_scope() as session:
            for stream in session.scalars(select(Stream).where(Stream.complete_until.is_not(None))):
                assert self.emitted(stream.log_type) <= set(stored), "it says it is complete only where it is"
            delivered = {
                tuple(row) for row in session.execute(select(Delivery.alert_id, Delivery.action_id, Delivery.type))
            }
            fired = {row.id for row in session.scalars(select(Alert)) if row.firing_notified_at is not None}
        assert {alert for alert, _, _ in delivered} == fired, (
            "an alert and its deliveries are there together or not at all"
        )
        assert len({row[:2] for row in delivered}) == 2 * len(fired)

    def check_in_the_end(self, unknown: int = 0) -> None:
        """Check that nothing is lost and nothing doubled but what a crash left in doubt.

        Args:    unknown: how many attempts the crash may have cut short.
        """
        self.check_always()
        assert set(self.stored()) == self.emitted()
        with session_scope() as session:
            query = select(LogChange.log_id, LogChange.status, LogChange.error_code)
            changes = Counter(tuple(row) for row in session.execute(query))
            matches = Counter(session.scalars(select(Match.rule_id)))
            alerts = list(session.scalars(select(Alert)))
            session.expunge_all()
        assert max(changes.values()) == 1, "a version of a log is evaluated once"
        assert matches == dict.fromkeys(self.rules, 3)
        assert {alert.rule_name: alert.occurrences for alert in alerts} == {"Any": 3, "By number": 3, "Some": 3}
        assert len(alerts) == 3
        firing = [each for each in self.deliveries() if each.type == "alert.firing"]
        assert len(firing) == 6
        assert {each.status for each in self.deliveries()} == {"succeeded"}
        received, attempts = self.received(), self.attempts()
        assert set(received) == {str(each.id) for each in self.deliveries()}
        assert sum(attempt.outcome == "unknown" for attempt in attempts) <= unknown
        extras = received.total() - len(received)
        assert extras <= sum(attempt.outcome == "unknown" for attempt in attempts)
        assert "started" not in {attempt.outcome for attempt in attempts}
        bodies = {(request.headers["webhook-id"], request.body) for request in self.web.requests}
        assert len(bodies) == len({webhook_id for webhook_id, _ in bodies}), "a repeat carries the same"
        mails = {(mail["Message-ID"], mail.as_bytes()) for _, mail in self.mail.mails}
        assert len(mails) == len({message_id for message_id, _ in mails})


@pytest.fixture
def rig(database: str, environment: pytest.MonkeyPatch) -> Iterator[CrashRig]:
    """A database, a Twilio with logs, receivers; nothing has been read yet."""
    simulator = Simulator()
    with SimulatorServer(simulator) as twilio, http_receiver() as web, mail_server() as mail:
        for name, value in {
            "TWILIO_ACCOUNT_SID": simulator.account.sid,
            "TWILIO_AUTH_TOKEN": simulator.account.auth_token,
            "TWILIO_API_BASE_URL": twilio.url,
            "TWILIO_MONITOR_BASE_URL": twilio.url,
            "TWILIO_MAX_REQUESTS_PER_MINUTE": "10000",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "GiftPulse <giftpulse@example.com>",
        }.items():
            environment.setenv(name, value)
        forget()
        made = CrashRig(simulator, Stages(os.environ), web, mail)
        made.watch()
        made.fill()
        yield made


@pytest.fixture
def two_pages(rig: CrashRig) -> None:
    """Let there be more messages than Twilio lists on a page: for stories of what a poll does between two."""
    add_messages(rig.simulator, TWO_PAGES - FEW, spacing_seconds=0.01, failing=0)
