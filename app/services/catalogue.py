"""Creates, edits and deletes rules, under the rule set's lock: an evaluation sees a rule whole or not at all.

Editing the meaning of a rule closes its alerts and starts it anew; editing anything else does neither.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import get_settings
from app.enums import AlertStatus, ResolveReason
from app.errors import NotFound
from app.models import Alert, Rule
from app.services.alerts import tracker
from app.services.rules import definition, engine
from app.utils.clock import utc_now

READ_ONLY = frozenset(
    {"id", "created_at", "updated_at", "last_evaluated_at", "last_matched_at", "last_error", "groups", "groups_capped"}
)


def create(session: Session, body: object, now: datetime) -> Rule:
    """Create a rule; it looks at what changes from now on.

    Raises: InvalidInput.
    """
    parsed = definition.parse_rule(body)
    started_at = _lock_rule_set(session)
    rule = Rule(**definition.columns(parsed), started_at=started_at, created_at=now, updated_at=now)
    session.add(rule)
    session.flush()
    return rule


def replace(session: Session, rule_id: UUID, body: object, now: datetime) -> Rule:
    """Replace a rule whole; fields that only the product writes are ignored.

    Raises: NotFound, InvalidInput.
    """
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in READ_ONLY}
    return _edit(session, get(session, rule_id), definition.parse_rule(body), now)


def patch(session: Session, rule_id: UUID, body: object, now: datetime) -> Rule:
    """Change some fields of a rule; objects are replaced whole.

    Raises: NotFound, InvalidInput.
    """
    rule = get(session, rule_id)
    return _edit(session, rule, definition.merge(definition.of(rule), body), now)


def delete(session: Session, rule_id: UUID, now: datetime) -> None:
    """Delete a rule; its alerts are closed and kept.

    Raises: NotFound.
    """
    rule = get(session, rule_id)
    _lock_rule_set(session)
    tracker.close_all(session, rule_id, ResolveReason.RULE_DELETED, get_settings(), now)
    session.delete(rule)
    session.flush()


def get(session: Session, rule_id: UUID, *, lock: bool = False) -> Rule:
    """Return a rule; `lock` keeps it as it is, and the rule set too, until the transaction ends.

    Raises: NotFound.
    """
    if lock:
        _lock_rule_set(session)
    rule = session.get(Rule, rule_id, with_for_update=lock or None)
    if rule is None:
        raise NotFound(f"there is no rule {rule_id}")
    return rule


def health(session: Session, rule: Rule) -> dict[str, Any]:
    """Say how a rule fares: when it last ran and matched, its last error, and for how many groups an alert is open."""
    open_groups = select(func.count()).where(Alert.rule_id == rule.id, Alert.status != AlertStatus.RESOLVED)
    return {
        "last_evaluated_at": rule.last_evaluated_at,
        "last_matched_at": rule.last_matched_at,
        "last_error": rule.last_error,
        "groups": session.scalar(open_groups) or 0,
        "groups_capped": rule.groups_capped,
    }


def _edit(session: Session, rule: Rule, wanted: definition.RuleDefinition, now: datetime) -> Rule:
    """Bring a rule to what is wanted; start it anew where its meaning changed or it was enabled."""
    started_at = _lock_rule_set(session)
    session.refresh(rule, with_for_update=True)
    before = definition.of(rule)
    changed = definition.meaning_changed(before, wanted)
    if before.enabled and not wanted.enabled:
        tracker.close_all(session, rule.id, ResolveReason.RULE_DISABLED, get_settings(), now)
    elif changed:
        tracker.close_all(session, rule.id, ResolveReason.RULE_CHANGED, get_settings(), now)
    if changed or (wanted.enabled and not before.enabled):
        rule.epoch += 1
        rule.started_at = started_at
        rule.last_error = rule.last_error_at = rule.failed_at = rule.judged_until = None
        rule.error_count, rule.groups_capped, rule.seeded = 0, False, False
    for name, value in definition.columns(wanted).items():
        setattr(rule, name, value)
    rule.updated_at = now
    session.flush()
    return rule


def _lock_rule_set(session: Session) -> datetime:
    """Wait for the evaluations under way, and move the version of the rule set.

    Returns: the moment from which a rule that is made or changed now counts.
    """
    engine.move_rule_set(session)
    return utc_now()
