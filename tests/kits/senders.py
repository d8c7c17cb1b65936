"""The exam that every kind of action sits: what it takes, refuses and survives, and that it tells no secret."""

import asyncio
from typing import Any, Protocol

import orjson
import pytest

from app.actions.base import ActionKind, Envelope, Notification, Receipt, SendError
from app.actions.sample import sample_notifications


class Candidate(Protocol):
    """One kind of action with a server at its other end."""

    kind: ActionKind
    config: dict[str, Any]
    """Checked, and holding the canaries."""
    canaries: list[str]
    """Secrets that nobody else may see."""

    def accept(self) -> None:
        """Make the server take what comes."""

    def refuse_for_good(self) -> None:
        """Make the server refuse in a way that no retry changes."""

    def refuse_for_now(self) -> None:
        """Make the server refuse in a way that may pass."""

    def fall_silent(self) -> None:
        """Make the server take the connection and say nothing for ever, and the sender wait for a second."""

    def hang_up(self) -> None:
        """Make the server close the connection without an answer."""

    def received(self) -> int:
        """Count what the server has taken."""


def send(candidate: Candidate, notification: Notification | None = None) -> Receipt:
    """Send one notification to the first receiver."""
    snapshot = notification or sample_notifications()[0]
    envelope = Envelope(
        delivery_id="0b0e9c64-0000-4000-8000-000000000001",
        alert_id=snapshot.alert["id"],
        type=snapshot.type,
        recipient=candidate.kind.recipients(candidate.config)[0],
        content=candidate.kind.render(candidate.config, snapshot).content,
        created_at=snapshot.timestamp,
    )

    async def once() -> Receipt:
        async with candidate.kind.connected() as sender:
            return await sender.send(candidate.config, envelope)

    return asyncio.run(once())


class SenderExam:
    """Subclass it in a test, with a fixture `candidate`."""

    def test_an_accepted_message_returns_a_receipt(self, candidate: Candidate) -> None:
        candidate.accept()
        send(candidate)
        assert candidate.received() == 1

    def test_every_sort_of_notification_can_be_sent(self, candidate: Candidate) -> None:
        candidate.accept()
        for notification in sample_notifications():
            send(candidate, notification)
        assert candidate.received() >= len(sample_notifications())

    def test_a_final_rejection_is_permanent(self, candidate: Candidate) -> None:
        candidate.refuse_for_good()
        with pytest.raises(SendError) as refused:
            send(candidate)
        assert refused.value.permanent
        assert refused.value.status_code is not None

    def test_temporary_failures_are_retried(self, candidate: Candidate) -> None:
        candidate.refuse_for_now()
        with pytest.raises(SendError) as refused:
            send(candidate)
        assert not refused.value.permanent
        assert refused.value.status_code is not None

    def test_silence_ends_at_the_deadline(self, candidate: Candidate) -> None:
        candidate.fall_silent()
        with pytest.raises(SendError) as late:
            send(candidate)
        assert not late.value.permanent

    def test_a_server_that_hangs_up_is_retried(self, candidate: Candidate) -> None:
        candidate.hang_up()
        with pytest.raises(SendError) as broken:
            send(candidate)
        assert not broken.value.permanent

    def test_no_secret_leaks(self, candidate: Candidate) -> None:
        shown = [
            orjson.dumps(candidate.kind.mask(candidate.config)).decode(),
            *candidate.kind.recipients(candidate.config),
        ]
        shown += [str(candidate.kind.render(candidate.config, snapshot)) for snapshot in sample_notifications()]
        for make in (candidate.refuse_for_good, candidate.refuse_for_now, candidate.hang_up, candidate.fall_silent):
            make()
            with pytest.raises(SendError) as failed:
                send(candidate)
            shown += [str(failed.value), failed.value.response]
        assert not [canary for canary in candidate.canaries for text in shown if canary in text]

    def test_a_masked_config_sent_back_changes_nothing(self, candidate: Candidate) -> None:
        kind = candidate.kind
        assert kind.check(kind.unmask(kind.mask(candidate.config), candidate.config)) == candidate.config

    def test_what_is_rendered_is_the_same_each_time(self, candidate: Candidate) -> None:
        for snapshot in sample_notifications():
            assert candidate.kind.render(candidate.config, snapshot) == candidate.kind.render(
                candidate.config, snapshot
            )
