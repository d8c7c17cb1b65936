"""Compares a span with the one before, if that was completely read."""

from sqlalchemy.orm import Session

from app.enums import LogType
from app.services.ingest import coverage
from app.services.logs import breakdown
from app.services.logs.breakdown import Breakdown
from app.services.logs.search import LogFilter
from app.utils.json_types import JsonObject


def break_down(session: Session, log_filter: LogFilter, by: str) -> tuple[list[Breakdown], bool]:
    """Break the logs of a span down, as `logs.breakdown` does.

    Returns: the rows, and whether the messages of the span before were completely read; if not, nothing is said of it.
    Raises:  InvalidInput if the span is empty or too long, or holds too much.
    """
    rows = breakdown.break_down(session, log_filter, by)
    before = breakdown.span_before(log_filter)
    assert before.since is not None
    assert before.until is not None
    unread = coverage.unread(session, before.since, before.until) if before.since < before.until else []
    accounts = log_filter.account_sid
    is_known = not any(
        each.item.log_type == LogType.MESSAGE and (not accounts or each.account_sid in accounts) for each in unread
    )
    if not is_known:
        for row in rows:
            row.final_before = row.delivered_before = None
    return rows, is_known


def without_before(figures: JsonObject) -> JsonObject:
    """Return figures of a report with none of the span before: each of these is null."""
    return {name: None if _is_before(name) else _without_before(value) for name, value in figures.items()}


def _without_before(value: object) -> object:
    if isinstance(value, dict):
        return without_before(value)
    return [_without_before(each) for each in value] if isinstance(value, list) else value


def _is_before(name: str) -> bool:
    return name == "before" or name.endswith("_before")
