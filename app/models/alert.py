"""Alerts: one episode of one rule for one group; and silences, which withhold their notifications."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Alert(Base):
    """An open or past problem. It keeps the name of its rule, which may have been deleted."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("uq_alerts_open", "fingerprint", unique=True, postgresql_where=text("status <> 'resolved'")),
        Index(None, "fingerprint", "firing_notified_at"),
        Index(None, "started_at", "id"),
        Index(None, "severity", "started_at", "id"),
        Index(None, "rule_id"),
        Index(None, "notify_at", postgresql_where=text("notify_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[BigInt] = mapped_column(Identity())
    """The order of creation."""
    fingerprint: Mapped[str]
    """Identifies (rule, group): at most one open alert has it."""
    rule_id: Mapped[UUID | None]
    """Null for a built-in alert."""
    rule_name: Mapped[str]
    severity: Mapped[str]
    status: Mapped[str]
    group: Mapped[Json]
    group_key: Mapped[str]
    summary: Mapped[str]
    started_at: Mapped[Timestamp]
    last_match_at: Mapped[Timestamp]
    recorded_at: Mapped[Timestamp]
    window_from: Mapped[Timestamp]
    """Matches from here to the alert's end count towards it."""
    baseline: Mapped[float | None]
    """For `spike`: the median that the window is compared with, fixed while the alert is open."""
    insufficient_since: Mapped[datetime | None] = mapped_column("short_since", DateTime(timezone=True))
    """For `ratio`: since when there are too few logs to evaluate."""
    suppressed_until_clear: Mapped[bool] = mapped_column("still_holds", server_default=text("false"))
    """Resolved manually while its condition held: it fires again only after the condition was false."""
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolve_reason: Mapped[str | None]
    acknowledged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    acknowledged_by: Mapped[str | None]
    acknowledged_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When it fires again unless it has resolved; null: it stays acknowledged."""
    note: Mapped[str | None]
    silenced: Mapped[bool] = mapped_column(server_default=text("false"))
    suppressed_by: Mapped[UUID | None]
    """The open alert of a rule that its rule depends on, which explains it; null: it is not suppressed."""
    occurrences: Mapped[int]
    value: Mapped[float | None]
    price_unit: Mapped[str | None]
    """For `sum`: the currency of `value`, if there are several."""
    sample_sids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    late: Mapped[bool]
    account_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{}'"))
    """The accounts of its logs; empty if it is about missing logs."""
    left_out_accounts: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Accounts of the rule that could not be read when the alert last changed."""
    error_code: Mapped[int | None]
    """The code of the newest match that has one."""
    firing_notified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the firing notification was handed to the outbox, even if no action took it; null: not yet."""
    escalates_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The start of the time after which it escalates; null: its firing was not notified, or it is withheld."""
    notified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the last firing or update notification was handed to the outbox."""
    notified_occurrences: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of occurrences in that notification."""
    notify_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When to check whether a notification is due; null: not before something changes."""


class AlertNote(Base):
    """A person's note about an alert."""

    __tablename__ = "alert_notes"
    __table_args__ = (Index(None, "alert_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    at: Mapped[Timestamp]
    by: Mapped[str]
    note: Mapped[str]


class Silence(Base):
    """A time span in which notifications of matching alerts are withheld."""

    __tablename__ = "silences"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rule_id: Mapped[UUID | None]
    """Null for every rule."""
    group: Mapped[Json]
    """It covers alerts whose group contains all these pairs."""
    starts_at: Mapped[Timestamp]
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Null: never, for a silence that repeats."""
    repeat: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The local times at which it holds: `timezone`, `days`, `start`, `end`; null: all the time."""
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[Timestamp]
