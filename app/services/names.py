"""What people call the things that ids stand for."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Account, Action, Alert, Rule
from app.services.outbox import actions

MAX_RECIPIENTS = 2


def _rules(session: Session, ids: Sequence[str], _: Settings) -> dict[str, str]:
    """Name rules; a deleted one as its alerts called it."""
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
    """Find the names of ids, with one query for each kind that is asked for.

    Args:    given: ids by the name of their filter; kinds without names are left out.
    Returns: names by id; what was deleted or has no name is missing.
    """
    return {
        name: found
        for kind, ids in given.items()
        if kind in NAMED and ids
        for name, found in NAMED[kind](session, ids, settings).items()
    }
