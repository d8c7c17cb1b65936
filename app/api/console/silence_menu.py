"""The silence that an alert's page offers: how long, and which open alerts it would silence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.api.console import texts
from app.api.console.access import Form, Viewer
from app.errors import FieldError, InvalidInput
from app.models import Alert, Silence
from app.services.alerts import silences
from app.utils.calendar_edges import to_zone

LENGTHS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8)}
MORNING, MORNING_HOUR = "morning", 9
CHOSEN = "chosen"
"""Until a time that a person types."""
MAX_LISTED = 4


@dataclass(frozen=True)
class SilencedAlerts:
    """The open alerts that a silence would silence beside the one that offers it."""

    listed: Sequence[Alert]
    """A few of them."""
    count: int

    @property
    def more(self) -> int:
        """The number of those that are not listed."""
        return self.count - len(self.listed)


@dataclass(frozen=True)
class Offer:
    """The silences that an alert offers."""

    what: str
    """Its subject, to follow `Notify nobody about`."""
    of_group: SilencedAlerts
    of_rule: SilencedAlerts | None
    """With a silence of the whole rule; None if it is not offered."""
    morning: datetime
    suggested: str
    """A time tomorrow, as the field of a form writes it."""


def offer_silence(session: Session, viewer: Viewer, alert: Alert, now: datetime) -> Offer:
    """Find what silences of an alert would silence."""
    widest = Silence(rule_id=alert.rule_id, group={} if alert.rule_id else alert.group)
    others = [each for each in silences.alerts_matched_by(session, widest) if each.id != alert.id]
    own = Silence(rule_id=alert.rule_id, group=alert.group)
    return Offer(
        what=_words(alert.rule_id, alert.group),
        of_group=_silenced([each for each in others if silences.is_silenced([own], each.rule_id, each.group)]),
        of_rule=_silenced(others) if alert.rule_id and alert.group else None,
        morning=_next_morning(viewer, now),
        suggested=texts.local_field(now + timedelta(days=1), viewer.zone),
    )


def _silenced(others: Sequence[Alert]) -> SilencedAlerts:
    return SilencedAlerts(others[:MAX_LISTED], len(others))


def _words(rule_id: UUID | None, group: Mapping[str, Any]) -> str:
    """Name what is silenced. GiftPulse's own alerts have no rule: every alert of the same group is silenced."""
    if rule_id is not None:
        return "this group" if group else "this rule"
    return "every alert of this group, of any rule" if group else "anything: every alert of every rule"


def _next_morning(viewer: Viewer, now: datetime) -> datetime:
    """Return the next 09:00 in the viewer's zone."""
    local = to_zone(now, viewer.zone)
    morning = local.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return morning if morning > local else (morning + timedelta(days=1))


def read_end(form: Form, viewer: Viewer, now: datetime) -> datetime | None:
    """Return when the requested silence ends; None if the typed time is invalid or past.

    Raises: InvalidInput.
    """
    wanted = form.get("for")
    if wanted == CHOSEN:
        until = texts.read_local_field(form.get("until"), viewer.zone)
        return until if until is not None and until > now else None
    if wanted == MORNING:
        return _next_morning(viewer, now)
    if (length := LENGTHS.get(wanted)) is None:
        raise InvalidInput([FieldError("for", f"must be one of {', '.join([*LENGTHS, MORNING, CHOSEN])}")])
    return now + length
