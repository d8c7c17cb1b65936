"""Finds what the logs of an alert have in common against the others of the same population and span."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, text, true
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import PatternType
from app.errors import TookTooLong
from app.models import Account, Alert, Log, Match, Rule
from app.services.findings import wording
from app.services.findings.comparison import MIN_LOGS, OUTCOME_FIELDS, SharedTrait, compare, strongest
from app.services.findings.rule_of_alert import NoRule, RuleUnknown, rule_of_alert
from app.services.findings.traits import FIELDS, TEXT_FIELDS, TracedLog
from app.services.logs.alert_logs import keys_of_alert
from app.services.logs.columns import COLUMNS
from app.services.logs.search import LogFilter, conditions

SAMPLE = 2_000
"""The most logs that are compared on each side."""
ONE_IN = 16
"""A power of two."""
MAX_SECONDS = 5
"""How long a statement may take."""
MIN_SPAN_OF_HOURS = timedelta(hours=4)
"""In a shorter span no finding is made of the hour."""
OTHER_GROUP = "__other__"
WITHOUT_RULE = {
    NoRule.BUILT_IN: "This alert is about GiftPulse itself: it has no logs.",
    NoRule.DELETED: "The rule of this alert was deleted, and the audit does not say which other logs it looked at.",
    NoRule.CHANGED: "The rule of this alert was edited, and the audit does not say which other logs it looked at.",
}
TOO_LONG = "This alert lasts so long, with so many logs, that comparing them takes too long."
NO_TEXTS = "Message texts are not stored, so links and first words are left out."
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
class InCommon:
    """What the logs of an alert have in common."""

    matched: int
    """The logs of the alert that were compared."""
    others: int
    items: Sequence[SharedTrait] = ()
    finding: str | None = None
    """The strongest finding as one sentence."""
    detail: str | None = None
    """Why there are no items, or what is left out."""
    label: str | None = None
    """The trait of the strongest finding."""


def common_json(found: InCommon) -> dict[str, Any]:
    """Serialize what was found; `finding` and `detail` are left out where there is none."""
    items = [
        {
            "field": each.trait.field,
            "value": each.trait.value,
            "share": round(each.share, 4),
            "share_of_others": round(each.share_of_others, 4),
        }
        for each in found.items
    ]
    words = {"finding": found.finding, "detail": found.detail}
    said = {name: value for name, value in words.items() if value is not None}
    return {"matched": found.matched, "others": found.others, "items": items} | said


class _Unknown(Exception):
    """The logs cannot be compared; the message says why."""


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


def find_common(session: Session, alert: ComparedAlert, *, with_texts: bool, seconds: float = MAX_SECONDS) -> InCommon:
    """Compare the logs of an alert with the others.

    Args:    with_texts: message texts are stored; seconds: how long each of the statements may take.
    """
    try:
        rule = _rule_of(session, alert)
        with _in_time(session, seconds):
            logs = _sample(session, _logs_of(alert.id))
            if len(logs) < MIN_LOGS:
                return InCommon(len(logs), 0, detail=_too_few(len(logs), "of this alert"))
            span = _span(session, alert.id)
            others = _sample(session, _others(alert, rule, span))
    except _Unknown as error:
        return InCommon(0, 0, detail=str(error))
    if len(others) < MIN_LOGS:
        return InCommon(len(logs), len(others), detail=_too_few(len(others), "that this alert does not count"))
    without = _decided_by(rule) | (set() if with_texts else {*TEXT_FIELDS})
    shown = None if with_texts or not any(log.log_type == "message" for log in logs) else NO_TEXTS
    items = compare(logs, others, without)
    # Most logs of a short span are of one hour anyway: that is no news.
    times = [log.occurred_at for log in (*logs, *others)]
    is_short = max(times) - min(times) < MIN_SPAN_OF_HOURS
    found = strongest(items, len(logs), len(others), without={"hour"} if is_short else ())
    words = (None, None) if found is None else (wording.sentence(found), wording.label(found.trait))
    return InCommon(len(logs), len(others), items, words[0], shown, words[1])


def _too_few(count: int, which: str) -> str:
    logs = "is 1 log" if count == 1 else f"are {count} logs"
    return f"There {logs} {which}: at least {MIN_LOGS} are needed on each side to compare them."


def _rule_of(session: Session, alert: ComparedAlert) -> Rule:
    """Find the rule as it was when the alert opened.

    Raises: _Unknown where there is none any more.
    """
    try:
        return rule_of_alert(session, alert.id, alert.rule_id)
    except RuleUnknown as error:
        raise _Unknown(WITHOUT_RULE[error.reason]) from None


@contextmanager
def _in_time(session: Session, seconds: float) -> Iterator[None]:
    """Limit statements in time, and leave the transaction and its settings as they were.

    Raises: _Unknown when the time is up.
    """
    session.flush()
    savepoint = session.connection().begin_nested()
    try:
        # An evaluation switches hash joins off for its own small reads.
        session.execute(text("SET LOCAL enable_hashjoin = on"))
        with limit_statements(session, seconds):
            yield
    except TookTooLong:
        raise _Unknown(TOO_LONG) from None
    finally:
        savepoint.rollback()


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
        if field in _POPULATION_FIELDS and value != OTHER_GROUP
    ]


def _decided_by(rule: Rule) -> set[str]:
    """List the fields that decide which logs match: that those have them in common is no news."""
    match PatternType(rule.pattern_type):
        case PatternType.ERROR_CODE | PatternType.STATUS:
            return {*OUTCOME_FIELDS}
        case PatternType.KEYWORD | PatternType.REGEX:
            return {*TEXT_FIELDS}
        case PatternType.EXPRESSION:
            return _named_in(rule.pattern_value or "")
    return set()


def _named_in(expression: str) -> set[str]:
    """List the fields that an expression names; status and code stand for each other, and `text` for what is in it."""
    named = set(re.findall(r"\blog\.(\w+)", expression)) | set(re.findall(r"""\blog\[["'](\w+)["']\]""", expression))
    found = {"from" if name == "from_" else name for name in named}
    if found & OUTCOME_FIELDS:
        found |= OUTCOME_FIELDS
    if "text" in found:
        found |= {*TEXT_FIELDS}
    if found & {"occurred_at", "changed_at"}:
        found.add("hour")
    return found & {*FIELDS}
