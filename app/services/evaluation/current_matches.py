"""Which rules match a log as it is now, whenever they began. Nothing is counted."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from app.services.evaluation.rule_set import read_rule_set
from app.services.rules.types import LogVersion, Rule


def rules_that_match(session: Session, row: Row[*tuple[Any, ...]]) -> list[Rule]:
    """Return the enabled rules whose population holds a log and whose pattern it matches.

    Args:    session: is emptied; row: of `select_logs()`.
    """
    version = LogVersion(
        change_id=0,
        log_id=row.id,
        is_first=False,
        to=row.to_,
        text=row.text_,
        **{name: getattr(row, name) for name in LogVersion._fields if hasattr(row, name)},
    )
    return [*read_rule_set(session).index.match_batch([version])[0]]
