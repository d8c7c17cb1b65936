"""Findings for notifications: within a short time, and never in the way of what must be told."""

import time
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Action
from app.services.findings.common import ComparedAlert, find_common

SECONDS = 0.5
"""For all alerts of one transaction: rows are locked meanwhile."""

log = structlog.get_logger()


class Finding(NamedTuple):
    """What stands out in the logs of an alert."""

    sentence: str
    label: str
    """The same for all alerts that share it: it holds no shares."""


def find(session: Session, alerts: Iterable[ComparedAlert], settings: Settings) -> dict[UUID, Finding]:
    """Find what stands out in each of these alerts, while there is time; the others are left out."""
    found: dict[UUID, Finding] = {}
    ends_at = time.monotonic() + SECONDS
    waiting = list(alerts)
    if not waiting or not session.scalar(select(exists().where(Action.enabled))):
        return found
    for alert in waiting:
        left = ends_at - time.monotonic()
        if left > 0 and (finding := _find_isolated(session, alert, settings, left)):
            found[alert.id] = finding
    return found


def _find_isolated(session: Session, alert: ComparedAlert, settings: Settings, seconds: float) -> Finding | None:
    """Find what stands out in one alert; whatever goes wrong, it is told without that."""
    try:
        found = find_common(session, alert, with_texts=settings.store_message_bodies, seconds=seconds)
        return Finding(found.finding, found.label) if found.finding and found.label else None
    except Exception:
        log.exception("what the logs of an alert have in common cannot be found", alert_id=str(alert.id))
        return None
