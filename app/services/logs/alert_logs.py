"""Which logs count towards an alert, and towards which alerts a log counts.

These are the alert's own matches, and those of earlier alerts of its rule and group within the window that opened it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Subquery, and_, or_, select
from sqlalchemy.orm import Session, aliased

from app.enums import ResolveReason
from app.models import Alert, Log, Match
from app.services.logs.search import SORT_KEY
from app.services.paging import Page, Position, read_rows
from app.services.serializers import select_logs

RESTART_REASONS = (ResolveReason.RULE_CHANGED, ResolveReason.RULE_DISABLED, ResolveReason.RULE_DELETED)
"""After these, a rule ignores its earlier matches."""


def alerts_of_log(session: Session, log_id: int) -> Sequence[Alert]:
    """List the alerts that a log counts towards, newest first."""
    holder = aliased(Alert)
    own = select(Match.alert_id).where(Match.log_id == log_id)
    later = select(Alert.id).join(holder, _reaches_back_to(holder)).join(Match, Match.alert_id == holder.id)
    shared = later.where(Match.log_id == log_id, _lies_in_window())
    query = select(Alert).where(Alert.id.in_(own.union_all(shared)))
    return session.scalars(query.order_by(Alert.started_at.desc(), Alert.id)).all()


def logs_of_alert(
    session: Session, alert_id: UUID, position: Position | None, limit: int
) -> Page[Row[*tuple[Any, ...]]]:
    """List an alert's logs, newest first: its matches, and matches of earlier alerts within its first window."""
    counted = keys_of_alert(alert_id)
    query = select_logs().join(counted, and_(counted.c.occurred_at == Log.occurred_at, counted.c.log_id == Log.id))
    return read_rows(session, query, SORT_KEY, position, limit)


def keys_of_alert(alert_id: UUID) -> Subquery:
    """Select `occurred_at` and `log_id` of the logs that count towards an alert."""
    holder = aliased(Alert)
    own = select(Match.occurred_at, Match.log_id).where(Match.alert_id == alert_id)
    earlier = select(Match.occurred_at, Match.log_id).select_from(Alert).join(holder, _reaches_back_to(holder))
    shared = earlier.join(Match, Match.alert_id == holder.id).where(Alert.id == alert_id, _lies_in_window())
    return own.union_all(shared).subquery("counted")


def _reaches_back_to(earlier: type[Alert]) -> ColumnElement[bool]:
    """Return whether the window that opened an alert can contain matches of an earlier alert of the same rule and
    group.
    """
    return and_(
        earlier.fingerprint == Alert.fingerprint,
        earlier.started_at < Alert.started_at,
        earlier.last_match_at > Alert.window_from,
        earlier.resolve_reason.not_in(RESTART_REASONS),
    )


def _lies_in_window() -> ColumnElement[bool]:
    """Return whether a match lies in the window that opened the alert, by the time its condition uses."""
    created = and_(Match.occurred_at > Alert.window_from, Match.occurred_at <= Alert.started_at)
    return and_(Match.changed_at > Alert.window_from, or_(Match.changed_at <= Alert.started_at, created))
