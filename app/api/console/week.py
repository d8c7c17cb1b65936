"""What rules would have done in the last seven days: run through the preview service one after another, as strips."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.judged_span import SHORT, WHOLE, JudgedSpan, describe_judged
from app.api.console.plots import strip
from app.api.console.rule_preview import PREVIEWS, SPANS, logs_link
from app.config import Settings
from app.enums import Severity
from app.errors import InvalidInput
from app.models import Action
from app.services.preview.notifications import AlertTimes, count_notifications
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.description import describe_condition
from app.services.rules.words import Phrase
from app.utils.caching import TtlCache
from app.utils.json_types import JsonObject

SPAN = "7d"
ALL = "all"
"""Runs every rule of the page, as far as its patience lasts."""
PATIENCE_SECONDS = 25.0
"""A page without script runs rules for this long; the rest get links."""
KEEP_SECONDS = 300.0
MAX_KEPT = 300
MAX_REASONS = 3
MAX_BARS = 300
"""Alerts drawn in one strip; more could not be distinguished."""


@dataclass(frozen=True)
class Bar:
    """One alert in a strip."""

    at: strip.Part
    label: str
    href: str


@dataclass(frozen=True)
class Result:
    """What one rule would have done."""

    alerts: int
    at_night: int
    notifications: int
    bars: Sequence[Bar]
    unread: Sequence[strip.Part] = ()
    """What could not be judged: the logs that it needs are not stored."""
    refusal: str = ""
    """Why it could not be counted."""
    judged: JudgedSpan = WHOLE


RESULTS: TtlCache[bytes, Result] = TtlCache(KEEP_SECONDS, MAX_KEPT)
"""The totals come after the last of many rules, and each rule may take seconds."""


@dataclass(frozen=True)
class WeekRow:
    """One rule of the page."""

    key: str
    """What names it in the address."""
    name: str
    severity: str
    sentence: Sequence[Phrase]
    body: JsonObject
    definition: RuleDefinition
    rule_id: str | None = None
    """The stored rule, if it is one already."""
    result: Result | None = None
    """None: not run yet."""


@dataclass(frozen=True)
class Week:
    """The seven days that the strips show."""

    since: datetime
    until: datetime
    nights: Sequence[strip.Part]
    midnights: Sequence[float]


@dataclass(frozen=True)
class Totals:
    """What all rules of the page would have done together."""

    alerts: int
    at_night: int
    notifications: int
    missing: int
    """Rules that were not counted."""
    reasons: Sequence[str]
    """Why some were counted for a part of the days only."""


def make_week(viewer: Viewer, now: datetime) -> Week:
    """Lay out the seven days that end now."""
    since = now - SPANS[SPAN]
    return Week(since, now, strip.nights(since, now, viewer.zone), strip.midnights(since, now, viewer.zone))


def make_row(key: str, rule: RuleDefinition, rule_id: str | None = None) -> WeekRow:
    """Prepare a rule for the page."""
    body = definition.as_json(rule)
    return WeekRow(
        key=key,
        name=rule.name,
        severity=rule.severity.value,
        sentence=describe_condition(rule),
        body=body if rule_id is None else body | {"id": rule_id},
        definition=rule,
        rule_id=rule_id,
    )


def list_targets(session: Session) -> list[Action]:
    """List the actions that send."""
    found = list(session.scalars(select(Action).where(Action.enabled)))
    session.expunge_all()
    return found


def run_rows(
    viewer: Viewer, rows: Sequence[WeekRow], wanted: str, targets: Sequence[Action], week: Week, settings: Settings
) -> list[WeekRow]:
    """Run the rules in the address, one at a time.

    Args:    wanted: the key of one row, or `ALL`, which stops when the page's patience ends.
    """
    ends_at = time.monotonic() + PATIENCE_SECONDS
    shown = []
    for row in rows:
        if row.key == wanted or (wanted == ALL and time.monotonic() < ends_at):
            shown.append(replace(row, result=_run(viewer, row, targets, week, settings)))
        else:
            shown.append(row)
    return shown


def add_up(rows: Sequence[WeekRow]) -> Totals:
    """Sum the results of all rows."""
    found = [row.result for row in rows if row.result is not None and not row.result.refusal]
    return Totals(
        sum(each.alerts for each in found),
        sum(each.at_night for each in found),
        sum(each.notifications for each in found),
        len(rows) - len(found),
        [*dict.fromkeys(reason for each in found for reason in each.judged.reasons)][:MAX_REASONS],
    )


def _run(viewer: Viewer, row: WeekRow, targets: Sequence[Action], week: Week, settings: Settings) -> Result:
    """Run a rule, or return its stored result; refusals are not stored."""
    targets_key = sorted((str(action.id), action.updated_at) for action in targets)
    key = orjson.dumps([row.body, viewer.zone.key, targets_key], option=orjson.OPT_SORT_KEYS)
    if (known := RESULTS.find(key)) is not None:
        return known
    try:
        found = PREVIEWS.get(row.body, SPAN, settings)
    except InvalidInput as error:
        return Result(0, 0, 0, (), refusal="; ".join(f"it {each.message}" for each in error.errors))
    result = _result(viewer, row, targets, week, found)
    RESULTS.keep(key, result)
    return result


def _result(viewer: Viewer, row: WeekRow, targets: Sequence[Action], week: Week, found: Mapping[str, Any]) -> Result:
    alerts = found["alerts"]
    times = [_times(alert) for alert in alerts]
    return Result(
        alerts=len(alerts),
        at_night=sum(strip.is_night(each.started_at, viewer.zone) for each in times),
        notifications=count_notifications(
            times,
            timedelta(minutes=row.definition.cooldown_minutes),
            [action.notify_on for action in targets if _wants(action, row)],
            week.until,
        ),
        bars=[
            _bar(viewer, row.definition, alert, each, week)
            for alert, each in zip(alerts[-MAX_BARS:], times[-MAX_BARS:], strict=True)
        ],
        unread=_unread(found, week),
        judged=describe_judged(viewer, found, week.since, week.until),
    )


def _unread(found: Mapping[str, Any], week: Week) -> list[strip.Part]:
    """Place the time before the first verdict; what follows the last one is minutes."""
    if found["judged_from"] is None:
        return [strip.part(week.since, week.until, week.since, week.until)]
    first = datetime.fromisoformat(found["judged_from"])
    return [strip.part(week.since, week.until, week.since, first)] if first - week.since > SHORT else []


def _wants(action: Action, row: WeekRow) -> bool:
    in_scope = action.rule_id is None or str(action.rule_id) == row.rule_id
    return in_scope and Severity(row.severity).rank >= Severity(action.min_severity).rank


def _times(alert: Mapping[str, Any]) -> AlertTimes:
    resolved = alert["resolved_at"]
    return AlertTimes(
        group=orjson.dumps(alert["group"], option=orjson.OPT_SORT_KEYS).decode(),
        started_at=datetime.fromisoformat(alert["started_at"]),
        resolved_at=None if resolved is None else datetime.fromisoformat(resolved),
        silenced=alert["silenced"],
    )


def _bar(viewer: Viewer, rule: RuleDefinition, alert: Mapping[str, Any], times: AlertTimes, week: Week) -> Bar:
    ended = times.resolved_at or week.until
    window = rule.condition.window
    lasted = "still open" if times.resolved_at is None else f"for {texts.duration(ended - times.started_at)}"
    return Bar(
        at=strip.part(week.since, week.until, times.started_at, ended, strip.MIN_WIDTH),
        label=f"{texts.moment(times.started_at, viewer.zone, week.until)}, {lasted}",
        href=logs_link(rule, alert["group"])(times.started_at - window, ended + timedelta(minutes=1)),
    )
