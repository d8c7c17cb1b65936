"""The enabled actions, and which notifications each of them wants."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, NotificationType, Severity
from app.models import Action
from app.services.outbox.action_config import config_of, name_by_recipients
from app.services.outbox.notice import Notice
from app.utils.crypto import Undecryptable
from app.utils.json_types import JsonObject

log = structlog.get_logger()


@dataclass(frozen=True)
class Target:
    """An action with its decrypted config."""

    action: Action
    config: JsonObject

    @property
    def name(self) -> str:
        """Name the action by its recipients."""
        action_type = ActionType(self.action.action_type)
        return name_by_recipients(action_type, kind_for(action_type).recipients(self.config))

    def wants(self, notice: Notice) -> bool:
        """Return whether the action wants the notification.

        A resolve is for every action that takes firings, regardless of edits since; see `received_firing`.
        """
        if notice.type.removeprefix("alert.") not in self.action.notify_on:
            return False
        if notice.type == NotificationType.RESOLVED and "firing" in self.action.notify_on:
            return True
        return self._covers(notice) and self._is_its_turn(notice)

    def _is_its_turn(self, notice: Notice) -> bool:
        """An escalating action is notified of a firing after its wait; `enqueue` knows who was."""
        if notice.type != NotificationType.FIRING:
            return True
        return self.action.id in notice.only_actions if notice.only_actions else not self.action.after_minutes

    def escalation_time(self, notice: Notice) -> datetime | None:
        """Return when the action is notified of the firing if nobody acknowledges it; None if it does not escalate.

        `alerts.escalation` finds the same for all alerts in SQL.
        """
        waits = self.action.after_minutes and notice.escalates_from and "firing" in self.action.notify_on
        if not waits or not self._covers(notice) or notice.escalates_from is None:
            return None
        return notice.escalates_from + timedelta(minutes=self.action.after_minutes)

    def _covers(self, notice: Notice) -> bool:
        in_scope = self.action.rule_id is None or self.action.rule_id == notice.rule_id
        severe_enough = notice.severity.rank >= Severity(self.action.min_severity).rank
        return in_scope and severe_enough


def load_targets(session: Session, settings: Settings) -> list[Target]:
    """Find the enabled actions. The lock on notices keeps them from being edited or deleted."""
    query = select(Action).where(Action.enabled).order_by(Action.created_at, Action.id)
    targets = []
    for action in session.scalars(query):
        try:
            targets.append(Target(action, config_of(action, settings)))
        except Undecryptable as error:
            # The others must still be notified. This one's deliveries would have failed in the same way.
            log.error("an action cannot be read", action_id=str(action.id), error=str(error))  # noqa: TRY400 - no stack helps
    return targets
