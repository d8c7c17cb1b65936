"""Findings for notifications. They have little time, and never prevent a notification."""

import time
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Action
from app.services.findings.common import find_common
from app.services.findings.samples import ComparedAlert

SECONDS = 0.5
"""The time limit for all alerts of one transaction, which holds locks meanwhile."""

log = structlog.get_logger()


class Finding(NamedTuple):
    """What stands out in the logs of an alert."""

    sentence: str
    label: str
    """Without the shares, so it is equal for all alerts with the same finding."""


def find(session: Session, alerts: Iterable[ComparedAlert], settings: Settings) -> dict[UUID, Finding]:
    """Find what stands out in these alerts until the time is up; alerts without a finding are left out."""
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
    """Find what stands out in one alert. If that fails, its notification goes without."""
    try:
        found = find_common(session, alert, with_texts=settings.store_message_bodies, seconds=seconds)
        return Finding(found.finding, found.label) if found.finding and found.label else None
    except Exception:
        log.exception("what the logs of an alert have in common cannot be found", alert_id=str(alert.id))
        return None
