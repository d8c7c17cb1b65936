"""Suppression: an open alert suppresses the alerts of rules that depend on its rule, for the same accounts.

An alert is suppressed only if open causes cover every account that it concerns: a problem in another account has
another cause.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.enums import AlertStatus
from app.models import Account, Alert, Rule
from app.services.rules.rule import Rule as RuleValue

AccountIds = frozenset[int]


class OpenCause(NamedTuple):
    """An open alert that may suppress others."""

    alert_id: UUID
    started_at: datetime
    account_ids: AccountIds


def find_suppressor(account_ids: AccountIds, causes: Iterable[OpenCause]) -> UUID | None:
    """Return the oldest cause if the causes cover all these accounts, otherwise None. Pure."""
    fitting = [cause for cause in causes if cause.account_ids & account_ids]
    covered: AccountIds = frozenset().union(*(cause.account_ids for cause in fitting))
    if not fitting or not account_ids <= covered:
        return None
    return min(fitting, key=lambda cause: (cause.started_at, cause.alert_id)).alert_id


def causes_first(rules: Collection[RuleValue]) -> list[RuleValue]:
    """Order rules so that each comes after those that it depends on; otherwise keep the order. Pure."""
    by_id = {rule.id: rule for rule in rules}
    depths: dict[UUID, int] = {}

    def depth(rule: RuleValue) -> int:
        if rule.id not in depths:
            depths[rule.id] = 1 + max((depth(by_id[each]) for each in rule.depends_on if each in by_id), default=0)
        return depths[rule.id]

    return sorted(rules, key=depth)


def depends_on_itself(rule_id: UUID, depends_on: Collection[UUID], others: Mapping[UUID, Sequence[UUID]]) -> bool:
    """Return whether a rule would depend on itself, directly or through others. Pure.

    Args:    others: what each stored rule depends on.
    """
    seen: set[UUID] = set()
    waiting = list(depends_on)
    while waiting:
        each = waiting.pop()
        if each == rule_id:
            return True
        if each not in seen:
            seen.add(each)
            waiting += others.get(each, ())
    return False


@dataclass(frozen=True)
class Dependencies:
    """The open alerts of all rules that others depend on, read by one transaction."""

    filters: Mapping[UUID, Sequence[str]]
    """The accounts that each of these rules and of their dependents is limited to; empty means all."""
    accounts: Mapping[str, int]
    """The watched accounts: sid to id."""
    open_alerts: Mapping[UUID, Alert]

    def suppressor(self, alert: Alert, depends_on: Collection[UUID], changed: Iterable[Alert]) -> UUID | None:
        """Return the id of the alert that suppresses an alert, or None.

        Args:    changed: alerts that this transaction opened or changed.
        """
        known = {**self.open_alerts, **{each.id: each for each in changed}}
        causes = (
            OpenCause(each.id, each.started_at, self.accounts_of(each))
            for each in known.values()
            if each.rule_id in depends_on and each.status != AlertStatus.RESOLVED
        )
        return find_suppressor(self.accounts_of(alert), causes)

    def accounts_of(self, alert: Alert) -> AccountIds:
        """Return the accounts that an alert concerns: those of its group, its logs or its rule, or all."""
        named = alert.group.get("account_sid")
        if isinstance(named, str) and named in self.accounts:
            return frozenset({self.accounts[named]})
        if alert.account_ids:
            return frozenset(alert.account_ids)
        limited = self.filters.get(alert.rule_id, ()) if alert.rule_id else ()
        chosen = frozenset(self.accounts[sid] for sid in limited if sid in self.accounts)
        return chosen or frozenset(self.accounts.values())


def load_dependencies(session: Session) -> Dependencies:
    """Read the open alerts of the rules that others depend on. The session does not track them."""
    named = select(func.unnest(Rule.depends_on))
    alerts = session.scalars(select(Alert).where(Alert.status != AlertStatus.RESOLVED, Alert.rule_id.in_(named))).all()
    for alert in alerts:
        session.expunge(alert)
    rules = session.execute(
        select(Rule.id, Rule.filters).where(Rule.id.in_(named) | (func.cardinality(Rule.depends_on) > 0))
    )
    accounts = session.execute(select(Account.sid, Account.id).where(Account.enabled))
    return Dependencies(
        filters={row.id: row.filters.get("account_sid") or () for row in rules},
        accounts={row.sid: row.id for row in accounts},
        open_alerts={alert.id: alert for alert in alerts},
    )
