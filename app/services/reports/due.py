"""Makes due reports: a delivery for each receiver, in the commit that schedules the next report.

A report waits a little until its span is read. Building it takes long, so nothing is locked meanwhile. The writer then
locks the action's row and checks whether the report is still due.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import structlog
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app import wake
from app.actions import report_text
from app.actions.base import Notification
from app.actions.registry import kind_for
from app.config import Settings
from app.database import after_commit, session_scope
from app.enums import ActionType, NotificationType
from app.models import Action, Delivery
from app.services.ingest import coverage
from app.services.outbox import report_schedule
from app.services.outbox.action_config import config_of
from app.services.outbox.report_schedule import ReportSchedule
from app.services.outbox.rows import delivery_row
from app.services.reports.report import build
from app.utils.db_retry import is_transient
from app.utils.json_types import JsonObject
from app.utils.redact import mask_numbers

MAX_WAIT = timedelta(minutes=30)
"""The longest time that a report waits for streams that are not read up to its end."""

log = structlog.get_logger()


@dataclass(frozen=True)
class DueReport:
    """A report that an action gets now."""

    action_id: UUID
    schedule: ReportSchedule
    due_at: datetime


def make_due(settings: Settings, now: datetime) -> int:
    """Make the deliveries of the due reports; return how many. After an outage, only the newest report is made."""
    with session_scope() as session:
        due = _find_due(session, now)
    build_once = cache(_build)
    made = 0
    for each in due:
        try:
            report = build_once(*report_schedule.span_of(each.schedule, each.due_at), each.schedule.timezone)
            with session_scope() as session:
                made += _enqueue(session, each, report, settings, now)
        except Exception as error:
            if is_transient(error):
                raise
            # The other reports are still made; this one is retried at the next tick.
            log.exception("a report cannot be made", action_id=str(each.action_id))
    return made


def _find_due(session: Session, now: datetime) -> list[DueReport]:
    """Find the reports to make now; for those found due for the first time, record how long they may wait."""
    query = select(Action).where(Action.enabled, Action.report_due_at <= now).order_by(Action.id)
    actions = session.scalars(query.with_for_update(skip_locked=True, key_share=True)).all()
    if not actions:
        return []
    read_until = coverage.read_until(session)
    return [each for action in actions if (each := _look_at(action, read_until, now)) is not None]


def _look_at(action: Action, read_until: datetime | None, now: datetime) -> DueReport | None:
    assert action.report is not None
    schedule = report_schedule.from_row(action.report)
    newest = report_schedule.latest_due(schedule, now)
    if action.report_waits_until is None or action.report_due_at != newest:
        action.report_due_at, action.report_waits_until = newest, now + MAX_WAIT
    is_read = read_until is None or read_until >= newest
    return DueReport(action.id, schedule, newest) if is_read or now >= action.report_waits_until else None


def _build(since: datetime, until: datetime, timezone: str) -> JsonObject:
    with session_scope() as session:
        return build(session, since, until, timezone)


def _enqueue(session: Session, due: DueReport, report: JsonObject, settings: Settings, now: datetime) -> int:
    """Make the deliveries of one report and move on to the next; nothing where another process was faster."""
    query = select(Action).where(Action.id == due.action_id, Action.enabled, Action.report_due_at == due.due_at)
    action = session.scalar(query.with_for_update(key_share=True))
    if action is None or action.report is None or report_schedule.from_row(action.report) != due.schedule:
        return 0
    rows = list(_rows(action, _notification(due, report, settings, now), settings, now))
    session.execute(insert(Delivery), rows)
    action.report_due_at = report_schedule.next_due(due.schedule, due.due_at)
    action.report_waits_until = None
    after_commit(session, wake.deliver)
    return len(rows)


def _notification(due: DueReport, report: JsonObject, settings: Settings, now: datetime) -> Notification:
    shown = mask_numbers(report) if settings.mask_numbers else report
    schedule = due.schedule
    return report_text.to_notification(shown, schedule.every, settings.public_base_url, schedule.timezone, now)


def _rows(action: Action, notification: Notification, settings: Settings, now: datetime) -> Iterable[JsonObject]:
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    rendered = kind.render(config, notification)
    for recipient in kind.recipients(config):
        yield delivery_row(action, NotificationType.REPORT, None, recipient, rendered, now)
