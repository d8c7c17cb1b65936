"""The rule of an alert, as it was when the alert opened."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.enums import MEANING_FIELDS
from app.models import Alert, AuditEntry, Match, Rule
from app.services import audit

COLUMNS = frozenset(Rule.__table__.columns.keys()) - {"id", "depends_on", "created_at", "updated_at"}
"""What a rule is restored from. An import names dependencies by slug, and they do not say what is counted."""


class NoRule(StrEnum):
    """Why no rule explains an alert any more."""

    BUILT_IN = "built_in"
    DELETED = "deleted"
    CHANGED = "changed"
    """It was edited or disabled since, and the audit does not know how it was."""


class RuleUnknown(Exception):
    """There is no rule that explains the alert."""

    def __init__(self, reason: NoRule) -> None:
        super().__init__(str(reason))
        self.reason = reason


def rule_of_alert(session: Session, alert_id: UUID, rule_id: UUID | None) -> Rule:
    """Find the rule of an alert. One that was edited or deleted since is restored from the audit, outside the session.

    Raises: RuleUnknown if it was deleted or changed, and the audit does not know its earlier state.
    """
    if rule_id is None:
        raise RuleUnknown(NoRule.BUILT_IN)
    epoch_then = select(func.max(Match.epoch)).where(Match.alert_id == alert_id).scalar_subquery()
    recorded = select(Alert.recorded_at).where(Alert.id == alert_id).scalar_subquery()
    row = session.execute(select(Rule, recorded, epoch_then).where(Rule.id == rule_id)).one_or_none()
    if row is not None and _is_unchanged(*row):
        rule: Rule = row[0]
        return rule
    recorded_at, epoch = row[1:] if row is not None else session.execute(select(recorded, epoch_then)).one()
    restored = None if recorded_at is None else _restore(session, rule_id, recorded_at, epoch)
    if restored is None:
        raise RuleUnknown(NoRule.DELETED if row is None else NoRule.CHANGED)
    return restored


def _is_unchanged(rule: Rule, recorded_at: datetime | None, epoch: int | None) -> bool:
    """Return whether a rule has not restarted since the alert. An alert of `no_data` has no matches, so no epoch.

    Args:    recorded_at: None if the alert is not stored yet.
    """
    return recorded_at is None or rule.started_at <= recorded_at if epoch is None else epoch == rule.epoch


def _restore(session: Session, rule_id: UUID, recorded_at: datetime, epoch: int | None) -> Rule | None:
    """Rebuild a rule as it was before the first change after a time; None if the audit does not know that."""
    entries = audit.history(session, f"rule:{rule_id}")
    before = [entry for entry in entries if entry.at < recorded_at]
    changed = next((entry.before for entry in entries[len(before) :] if entry.before is not None), None)
    if changed is None or not changed.keys() >= {*MEANING_FIELDS}:
        return None
    created_at = datetime.fromisoformat(changed["created_at"]) if "created_at" in changed else entries[0].at
    started_at = next((entry.at for entry in reversed(before) if _restarted(entry)), created_at)
    body = {name: value for name, value in changed.items() if name in COLUMNS}
    return Rule(**body, id=rule_id, epoch=epoch or 0, started_at=started_at, depends_on=[])


def _restarted(entry: AuditEntry) -> bool:
    """Return whether a change restarted the rule."""
    before, after = entry.before or {}, entry.after or {}
    return any(before.get(name) != after.get(name) for name in (*MEANING_FIELDS, "enabled"))
