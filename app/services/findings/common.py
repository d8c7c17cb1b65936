"""Finds what the logs of an alert have in common against the others of the same population and span."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import PatternType
from app.errors import StatementTimeout
from app.models import Rule
from app.services.findings import samples, wording
from app.services.findings.comparison import MIN_LOGS, SharedTrait, compare, strongest
from app.services.findings.decided_fields import decided_by
from app.services.findings.rule_of_alert import NoRule, RuleUnknown, rule_of_alert
from app.services.findings.samples import ComparedAlert
from app.services.findings.traits import TEXT_FIELDS

MAX_SECONDS = 5
"""The time limit of a statement."""
MIN_SPAN_OF_HOURS = timedelta(hours=4)
"""In a shorter span the hour is no finding."""
WITHOUT_RULE = {
    NoRule.BUILT_IN: "This alert is about GiftPulse itself: it has no logs.",
    NoRule.DELETED: "The rule of this alert was deleted, and the audit does not say which other logs it looked at.",
    NoRule.CHANGED: "The rule of this alert was edited, and the audit does not say which other logs it looked at.",
}
TOO_LONG = "This alert lasts so long, with so many logs, that comparing them takes too long."
NO_TEXTS = "Message texts are not stored, so links and first words are left out."


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
    """Serialize the result; `finding` and `detail` are left out if there is none."""
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
    given = {name: value for name, value in words.items() if value is not None}
    return {"matched": found.matched, "others": found.others, "items": items} | given


class _Unknown(Exception):
    """The logs cannot be compared; the message says why."""


def find_common(session: Session, alert: ComparedAlert, *, with_texts: bool, seconds: float = MAX_SECONDS) -> InCommon:
    """Compare the logs of an alert with the others.

    Args:
        with_texts: whether message texts are stored.
        seconds: the time limit of each statement.
    """
    try:
        rule = _rule_of(session, alert)
        with _in_time(session, seconds):
            logs = samples.sample_alert(session, alert)
            if len(logs) < MIN_LOGS:
                return InCommon(len(logs), 0, detail=_too_few(len(logs), "of this alert"))
            others = samples.sample_others(session, alert, rule)
    except _Unknown as error:
        return InCommon(0, 0, detail=str(error))
    if len(others) < MIN_LOGS:
        return InCommon(len(logs), len(others), detail=_too_few(len(others), "that this alert does not count"))
    without = decided_by(PatternType(rule.pattern_type), rule.pattern_value) | (set() if with_texts else {*TEXT_FIELDS})
    shown = None if with_texts or not any(log.log_type == "message" for log in logs) else NO_TEXTS
    items = compare(logs, others, without)
    # Most logs of a short span are from one hour anyway.
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

    Raises: _Unknown if it was deleted or changed.
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
    except StatementTimeout:
        raise _Unknown(TOO_LONG) from None
    finally:
        savepoint.rollback()
