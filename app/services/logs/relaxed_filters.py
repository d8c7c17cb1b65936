"""Counts what a search without results would find without one of its filters."""

from collections.abc import Mapping

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.errors import StatementTimeout
from app.models import Log
from app.services.logs.search import LogFilter, conditions

MOST = 100
"""More are not counted."""
SECONDS = 0.5


def count_each(session: Session, filters: Mapping[str, LogFilter]) -> dict[str, int]:
    """Count the logs of each filter, in one statement; a count above `MOST` means more than that.

    Returns: counts by the names of the filters; empty if counting takes too long. The session can then only be closed.
    """
    if not filters:
        return {}
    few = [(name, select(Log.id).where(*conditions(each)).limit(MOST + 1).subquery()) for name, each in filters.items()]
    counts = union_all(*(select(literal(name), func.count()).select_from(found) for name, found in few))
    try:
        with limit_statements(session, SECONDS):
            return {str(name): int(number) for name, number in session.execute(counts)}
    except StatementTimeout:
        session.rollback()
        return {}
