"""Names of rules, alerts, actions and accounts."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import PatternType
from app.models import Account, Action, Alert, Rule
from app.services.outbox import actions
from app.services.rules.patterns import code_ranges

MAX_RECIPIENTS = 2
MAX_NAMES = 500


def _rules(session: Session, ids: Sequence[str], _: Settings) -> dict[str, str]:
    """Name rules; a deleted one by the name in its alerts."""
    wanted = [UUID(each) for each in ids]
    rules = session.execute(select(Rule.id, Rule.name).where(Rule.id.in_(wanted))).all()
    deleted = {*wanted} - {rule_id for rule_id, _ in rules}
    if not deleted:
        return {str(rule_id): name for rule_id, name in rules}
    called = select(Alert.rule_id, func.max(Alert.rule_name)).where(Alert.rule_id.in_(deleted))
    return {str(rule_id): name for rule_id, name in (*rules, *session.execute(called.group_by(Alert.rule_id)))}


def _alerts(session: Session, ids: Sequence[str], _: Settings) -> dict[str, str]:
    rows = session.execute(select(Alert.id, Alert.summary).where(Alert.id.in_([UUID(each) for each in ids])))
    return {str(alert_id): summary for alert_id, summary in rows}


def _actions(session: Session, ids: Sequence[str], settings: Settings) -> dict[str, str]:
    """Name actions by the first of their masked recipients."""
    found = session.scalars(select(Action).where(Action.id.in_([UUID(each) for each in ids])))
    named = {str(action.id): (action.action_type, actions.masked_recipients(action, settings)) for action in found}
    return {
        action_id: f"{kind} to {', '.join(recipients[:MAX_RECIPIENTS])}"
        for action_id, (kind, recipients) in named.items()
        if recipients
    }


def _accounts(session: Session, sids: Sequence[str], _: Settings) -> dict[str, str]:
    rows = session.execute(select(Account.sid, Account.friendly_name).where(Account.sid.in_(sids)))
    return {sid: name for sid, name in rows if name}


NAMED: Mapping[str, Callable[[Session, Sequence[str], Settings], dict[str, str]]] = MappingProxyType(
    {"rule_id": _rules, "alert_id": _alerts, "action_id": _actions, "account_sid": _accounts}
)
"""Filters whose values are ids."""


def names_of(session: Session, given: Mapping[str, Sequence[str]], settings: Settings) -> dict[str, str]:
    """Find the names of ids, with one query for each kind.

    Args:    given: ids by the name of their filter; kinds without names are left out.
    Returns: names by id, without deleted objects and those without a name.
    """
    return {
        name: found
        for kind, ids in given.items()
        if kind in NAMED and ids
        for name, found in NAMED[kind](session, ids, settings).items()
    }


def rules_for(session: Session, log_type: str) -> dict[UUID, str]:
    """List the rules that may look at logs of a type, with their names, by name."""
    query = select(Rule.id, Rule.name).where(Rule.log_type.in_((log_type, "any"))).order_by(Rule.name, Rule.id)
    return {row[0]: row[1] for row in session.execute(query.limit(MAX_NAMES))}


def rules(session: Session, limit: int) -> dict[UUID, str]:
    """List rules with their names, by name."""
    return {row[0]: row[1] for row in session.execute(select(Rule.id, Rule.name).order_by(Rule.name).limit(limit))}


def rules_about_code(session: Session, code: int) -> dict[UUID, str]:
    """Return the names of the enabled rules whose pattern holds an error code, by id."""
    query = select(Rule.id, Rule.name, Rule.pattern_value).where(
        Rule.enabled, Rule.pattern_type == PatternType.ERROR_CODE
    )
    return {
        rule_id: name
        for rule_id, name, pattern in session.execute(query.order_by(Rule.name, Rule.id))
        if _names_code(pattern or "", code)
    }


def _names_code(pattern: str, code: int) -> bool:
    """Return whether a stored pattern holds a code; one that can no longer be read holds none."""
    with suppress(ValueError):
        return any(each.first <= code <= each.last for each in code_ranges(pattern))
    return False
