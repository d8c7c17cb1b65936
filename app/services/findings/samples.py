"""Reads samples of an alert's logs, and of the other logs of its rule's population, span and group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, true
from sqlalchemy.orm import Session

from app.enums import OTHER_VALUE
from app.models import Account, Alert, Log, Match, Rule
from app.services.findings.traits import TracedLog
from app.services.logs.alert_logs import keys_of_alert
from app.services.logs.columns import COLUMNS
from app.services.logs.search import LogFilter, conditions

SAMPLE = 2_000
"""The most logs that are compared on each side."""
ONE_IN = 16
"""A power of two."""
_POPULATION_FIELDS = ("account_sid", "direction", "from", "to", "to_country", "messaging_service_sid")
"""The fields of a group that say which logs an alert looks at. The others, such as the status, say how they ended."""
_TRACED = (
    Log.log_type,
    Log.to_country,
    Log.from_,
    Log.messaging_service_sid,
    Log.error_code,
    Log.segments,
    Log.status,
    Log.occurred_at,
    Log.text_,
)


@dataclass(frozen=True)
class ComparedAlert:
    """What must be known of an alert to compare its logs."""

    id: UUID
    rule_id: UUID | None
    group: Mapping[str, Any]

    @classmethod
    def of(cls, alert: Alert) -> "ComparedAlert":
        """Read it from a stored alert."""
        return cls(alert.id, alert.rule_id, alert.group)


def sample_alert(session: Session, alert: ComparedAlert) -> list[TracedLog]:
    """Read a sample of the logs that count towards an alert."""
    return _sample(session, _logs_of(alert.id))


def sample_others(session: Session, alert: ComparedAlert, rule: Rule) -> list[TracedLog]:
    """Read a sample of the logs that the rule did not match, of the alert's span, accounts and group."""
    return _sample(session, _others(alert, rule, _span(session, alert.id)))


def _sample(session: Session, query: Select[*tuple[Any, ...]]) -> list[TracedLog]:
    """Read at most `SAMPLE` logs, the same ones every time: those with the lowest hash of their sid.

    Of many logs only one in sixteen is joined and sorted, which is most of the work.
    """
    few = query.where(func.hashtext(Log.sid).op("&")(ONE_IN - 1) == 0)
    for each in (few, query):
        rows = session.execute(each.order_by(func.md5(Log.sid)).limit(SAMPLE)).all()
        if len(rows) == SAMPLE:
            break
    return [TracedLog(*row) for row in rows]


def _logs_of(alert_id: UUID) -> Select[*tuple[Any, ...]]:
    counted = keys_of_alert(alert_id)
    return select(*_TRACED).join(counted, and_(counted.c.occurred_at == Log.occurred_at, counted.c.log_id == Log.id))


@dataclass(frozen=True)
class _Span:
    """When and in which accounts the logs of an alert were created."""

    since: datetime
    """Of its first window, or of its first log if that is earlier."""
    until: datetime | None
    """When the alert resolved; null while it is open."""
    account_ids: Sequence[int]


def _span(session: Session, alert_id: UUID) -> _Span:
    counted = keys_of_alert(alert_id)
    since = func.least(Alert.window_from, func.min(Log.occurred_at))
    query = (
        select(since, Alert.resolved_at, func.array_agg(Log.account_id.distinct()))
        .select_from(Alert)
        .join(counted, true())
        .join(Log, and_(counted.c.occurred_at == Log.occurred_at, counted.c.log_id == Log.id))
        .where(Alert.id == alert_id)
        .group_by(Alert.id)
    )
    return _Span(*session.execute(query).one())


def _others(alert: ComparedAlert, rule: Rule, span: _Span) -> Select[*tuple[Any, ...]]:
    """Select logs of the rule's population that it did not match, of the alert's span, accounts and group."""
    matched = exists().where(Match.rule_id == rule.id, Match.log_id == Log.id)
    query = select(*_TRACED).join(Account, Account.id == Log.account_id)
    return query.where(
        *conditions(_population(rule, span)),
        *_of_group(alert),
        Log.account_id.in_(span.account_ids),
        ~matched,
    )


def _population(rule: Rule, span: _Span) -> LogFilter:
    filters: dict[str, Any] = {"from_" if name == "from" else name: tuple(of) for name, of in rule.filters.items()}
    log_types = () if rule.log_type == "any" else (rule.log_type,)
    return LogFilter(log_type=log_types, since=span.since, until=span.until, **filters)


def _of_group(alert: ComparedAlert) -> list[ColumnElement[bool]]:
    return [
        COLUMNS[field].is_(None) if value is None else COLUMNS[field] == value
        for field, value in alert.group.items()
        if field in _POPULATION_FIELDS and value != OTHER_VALUE
    ]
