"""Finds the rules that match a log in its current state, regardless of when they started. Nothing is counted."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from app.services import log_fields
from app.services.evaluation.rule_set import read_rule_set
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion


def rules_that_match(session: Session, row: Row[*tuple[Any, ...]]) -> list[Rule]:
    """Return the enabled rules whose population contains a log and whose pattern it matches.

    Args:    row: of `select_logs()`.
    """
    return [*read_rule_set(session).index.match_batch([version_of(row)])[0]]


def version_of(row: Row[*tuple[Any, ...]]) -> LogVersion:
    """Return a log as rules see it now.

    Args:    row: of `select_logs()`.
    """
    return LogVersion(
        change_id=0,
        log_id=row.id,
        is_first=False,
        account_id=row.account_id,
        account_sid=row.account_sid,
        sid=row.sid,
        log_type=row.log_type,
        **dict(zip(log_fields.ATTRIBUTES, log_fields.columns_of(row), strict=True)),
        occurred_at=row.occurred_at,
        changed_at=row.changed_at,
        final=row.final,
    )
