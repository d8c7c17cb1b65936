"""The rule of an alert, as it was when the alert opened."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Alert, Match, Rule


class NoRule(StrEnum):
    """Why an alert has no rule any more that explains it."""

    BUILT_IN = "built_in"
    DELETED = "deleted"
    CHANGED = "changed"
    """It was edited or disabled since."""


class RuleUnknown(Exception):
    """There is no rule that explains the alert."""

    def __init__(self, reason: NoRule) -> None:
        super().__init__(str(reason))
        self.reason = reason


def rule_of_alert(session: Session, alert_id: UUID, rule_id: UUID | None) -> Rule:
    """Find the rule of an alert.

    Raises: RuleUnknown where there is none, or where it means something else by now.
    """
    if rule_id is None:
        raise RuleUnknown(NoRule.BUILT_IN)
    epoch_then = select(func.max(Match.epoch)).where(Match.alert_id == alert_id).scalar_subquery()
    recorded = select(Alert.recorded_at).where(Alert.id == alert_id).scalar_subquery()
    row = session.execute(select(Rule, epoch_then, recorded).where(Rule.id == rule_id)).one_or_none()
    if row is None:
        raise RuleUnknown(NoRule.DELETED)
    rule: Rule = row[0]
    epoch, recorded_at = row[1:]
    # An alert about silence has no matches. A rule that began anew did so after its alerts of before.
    began_anew = epoch is None and recorded_at is not None and recorded_at < rule.started_at
    if began_anew or epoch not in (None, rule.epoch):
        raise RuleUnknown(NoRule.CHANGED)
    return rule
