"""Checks rules before they are stored: rejects those that can never fire, and warns about those that may not."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.models import Rule
from app.services.alerts import dependencies
from app.services.logs.filter_warnings import warn_of_accounts, watched_accounts
from app.services.rules import feasibility
from app.services.rules.definition import RuleDefinition

CYCLE = FieldError("depends_on", "must not lead back to the rule itself")


def check(wanted: RuleDefinition, settings: Settings, before: RuleDefinition | None = None) -> None:
    """Reject a rule that could never match or fire.

    Args:    before: the stored rule; values that were accepted earlier stay accepted.
    Raises: InvalidInput.
    """
    retention = timedelta(days=settings.retention_days)
    known = [] if before is None else feasibility.errors(before, retention)
    if found := [error for error in feasibility.errors(wanted, retention) if error not in known]:
        raise InvalidInput(found)


def check_dependencies(
    session: Session, rule_id: UUID | None, wanted: RuleDefinition, *, allow_cycle: bool = False
) -> None:
    """Reject dependencies on rules that do not exist, and cycles.

    If the rule is then stored, the caller holds the rule set's lock.

    Args:    rule_id: None for a new rule.
    Raises: InvalidInput.
    """
    if not wanted.depends_on:
        return
    stored = {row.id: row.depends_on for row in session.execute(select(Rule.id, Rule.depends_on))}
    errors = [
        FieldError("depends_on", f"item {position} is not the id of a rule")
        for position, each in enumerate(wanted.depends_on, start=1)
        if each not in stored
    ]
    if rule_id is not None and not allow_cycle and dependencies.depends_on_itself(rule_id, wanted.depends_on, stored):
        errors.append(CYCLE)
    if errors:
        raise InvalidInput(errors)


def rules_in_cycles(session: Session) -> set[UUID]:
    """Find the rules that depend on themselves, directly or through others."""
    stored = {row.id: row.depends_on for row in session.execute(select(Rule.id, Rule.depends_on))}
    return {
        rule_id for rule_id, named in stored.items() if named and dependencies.depends_on_itself(rule_id, named, stored)
    }


def warnings(session: Session, wanted: RuleDefinition, settings: Settings) -> list[FieldError]:
    """List the fields of a rule that may keep it from ever matching or firing."""
    warnings = feasibility.warnings(wanted, timedelta(hours=settings.settle_hours))
    sids = wanted.filters.account_sid
    return [*warnings, *warn_of_accounts("filters.account_sid", sids, watched_accounts(session, sids))]
