"""The life of an alert as a state machine: what each event does to it. Pure.

    Fire --> firing --- Acknowledge --> acknowledged
               |  ^---- Unacknowledge -------+
               +---------- Resolve ----------+--> resolved

`Extend`, `Count` and `Measure` update an open alert. A resolved alert never opens again. If it was resolved while its
condition held, its group does not fire until the condition was false. `changes.AlertChanges` writes all changes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

from app.enums import AlertStatus, NotificationType, ResolveReason

MAX_SAMPLES = 5
"""The number of newest logs that an alert names."""

Columns = dict[str, object]
"""The changed attributes of an alert, with their new values."""


class AlreadyResolved(Exception):
    """A resolved alert cannot be acknowledged, unacknowledged or resolved."""


class AlertState(Protocol):
    """The part of an alert that transitions depend on."""

    @property
    def status(self) -> str: ...
    @property
    def occurrences(self) -> int: ...
    @property
    def value(self) -> float | None: ...
    @property
    def price_unit(self) -> str | None: ...
    @property
    def last_match_at(self) -> datetime: ...
    @property
    def window_from(self) -> datetime: ...
    @property
    def sample_sids(self) -> list[str]: ...
    @property
    def account_ids(self) -> list[int]: ...
    @property
    def error_code(self) -> int | None: ...
    @property
    def acknowledged_by(self) -> str | None: ...
    @property
    def note(self) -> str | None: ...


@dataclass(frozen=True)
class Fire:
    """An alert opens, of a rule's group or a built-in problem."""

    fingerprint: str
    rule_id: UUID | None
    rule_name: str
    severity: str
    group: Mapping[str, Any]
    group_key: str
    started_at: datetime
    window_from: datetime
    recorded_at: datetime
    late: bool
    """It began so long ago that it notifies nobody unless it continues."""
    summary: str
    occurrences: int = 0
    baseline: float | None = None

    def columns(self) -> Columns:
        """Return all columns of the new alert."""
        return {
            **vars(self),
            "id": uuid4(),
            "status": AlertStatus.FIRING,
            "group": dict(self.group),
            "last_match_at": self.started_at,
            "sample_sids": [],
            "account_ids": [],
            "left_out_accounts": [],
            "notified_occurrences": 0,
            "silenced": False,
            "suppressed_by": None,
            "suppressed_until_clear": False,
        }


@dataclass(frozen=True)
class Extend:
    """The alert now covers this episode."""

    window_from: datetime
    started_at: datetime
    last_match_at: datetime
    newest_sids: Sequence[str]
    """Of the new matches, newest first."""
    newest_error_code: int | None
    """Of the newest new match that has one."""
    count: int
    """The number of new matches."""
    left_out_accounts: Sequence[str]
    account_ids: Collection[int] = ()
    """Of the new matches."""

    def transition(self, alert: AlertState) -> Columns:
        later = not alert.occurrences or self.last_match_at > alert.last_match_at
        sids = list(self.newest_sids)
        samples = sids + alert.sample_sids if later else alert.sample_sids + sids
        newer_code = self.newest_error_code is not None and (later or alert.error_code is None)
        occurrences = alert.occurrences + self.count
        return {
            "window_from": min(alert.window_from, self.window_from),
            "started_at": self.started_at,
            "last_match_at": self.last_match_at,
            "occurrences": occurrences,
            "value": float(occurrences),
            "sample_sids": samples[:MAX_SAMPLES],
            "account_ids": sorted({*alert.account_ids, *self.account_ids}),
            "error_code": self.newest_error_code if newer_code else alert.error_code,
            "left_out_accounts": list(self.left_out_accounts),
        }


@dataclass(frozen=True)
class Count:
    """One more match counts towards the alert. Matches come oldest first."""

    changed_at: datetime
    sid: str
    error_code: int | None
    account_id: int | None = None
    """None if the alert is about missing logs, not about this one's account."""

    def transition(self, alert: AlertState) -> Columns:
        account_ids = [] if self.account_id is None or self.account_id in alert.account_ids else [self.account_id]
        return {
            "occurrences": alert.occurrences + 1,
            "account_ids": sorted([*alert.account_ids, *account_ids]),
            "last_match_at": max(alert.last_match_at, self.changed_at),
            "sample_sids": [self.sid, *alert.sample_sids][:MAX_SAMPLES],
            "error_code": alert.error_code if self.error_code is None else self.error_code,
        }


@dataclass(frozen=True)
class Measure:
    """A condition over time was evaluated."""

    value: float | None
    """None if there was nothing to measure: the alert keeps its value."""
    insufficient_since: datetime | None
    left_out_accounts: Sequence[str]
    price_unit: str | None = None
    """The currency of `value`; None keeps the alert's currency."""

    def transition(self, alert: AlertState) -> Columns:
        return {
            "value": alert.value if self.value is None else self.value,
            "price_unit": self.price_unit or alert.price_unit,
            "insufficient_since": self.insufficient_since,
            "left_out_accounts": list(self.left_out_accounts),
        }


@dataclass(frozen=True)
class Describe:
    """The description of the alert changed."""

    summary: str

    def transition(self, alert: AlertState) -> Columns:  # noqa: ARG002 - as the others
        return {"summary": self.summary}


@dataclass(frozen=True)
class Notify:
    """A notification was decided."""

    at: datetime
    type: NotificationType | None
    """None if nobody is notified."""
    recheck_at: datetime | None
    """When to decide again."""
    silenced: bool
    suppressed_by: UUID | None = None
    """The alert that suppresses it."""
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins."""

    def transition(self, alert: AlertState) -> Columns:
        columns: Columns = {
            "silenced": self.silenced,
            "suppressed_by": self.suppressed_by,
            "notify_at": self.recheck_at,
            "escalates_from": self.escalates_from,
        }
        if self.type == NotificationType.FIRING:
            columns["firing_notified_at"] = self.at
        if self.type in (NotificationType.FIRING, NotificationType.UPDATE):
            columns |= {"notified_at": self.at, "notified_occurrences": alert.occurrences}
        return columns


@dataclass(frozen=True)
class Acknowledge:
    """Somebody takes care of it: nobody is notified until it resolves or `until`, which only a later one moves."""

    at: datetime
    by: str | None
    note: str | None
    until: datetime | None = None
    """When it fires again unless it has resolved; None means never."""

    def transition(self, alert: AlertState) -> Columns:
        if alert.status == AlertStatus.RESOLVED:
            raise AlreadyResolved
        until: Columns = {"acknowledged_until": self.until, "notify_at": self.until}
        if alert.status == AlertStatus.ACKNOWLEDGED:
            return until
        acknowledged = {"acknowledged_at": self.at, "acknowledged_by": self.by, "note": self.note}
        return {"status": AlertStatus.ACKNOWLEDGED, **acknowledged, **until}


@dataclass(frozen=True)
class Unacknowledge:
    """Nobody takes care of it any more: it fires again, and reminders continue."""

    at: datetime

    def transition(self, alert: AlertState) -> Columns:
        if alert.status == AlertStatus.RESOLVED:
            raise AlreadyResolved
        if alert.status == AlertStatus.FIRING:
            return {}
        cleared: Columns = dict.fromkeys(("acknowledged_at", "acknowledged_by", "acknowledged_until"))
        return {"status": AlertStatus.FIRING, "notify_at": self.at, **cleared}


@dataclass(frozen=True)
class Resolve:
    """It is over."""

    at: datetime
    reason: ResolveReason
    suppress: bool = False
    """Its condition may still hold: its group does not fire until the condition was false."""
    by: str | None = None
    note: str | None = None

    def transition(self, alert: AlertState) -> Columns:
        if alert.status == AlertStatus.RESOLVED:
            raise AlreadyResolved
        return {
            "status": AlertStatus.RESOLVED,
            "resolved_at": self.at,
            "resolve_reason": self.reason,
            "suppressed_until_clear": self.suppress,
            "notify_at": None,
            "acknowledged_by": alert.acknowledged_by or self.by,
            "note": self.note or alert.note,
        }


Event = Extend | Count | Measure | Describe | Notify | Acknowledge | Unacknowledge | Resolve
