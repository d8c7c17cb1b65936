"""Alerts: one episode of one rule for one group; and silences, which keep them quiet."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Alert(Base):
    """One open or past problem. It keeps the name of its rule, which may be gone."""

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
    """Order of recording."""
    fingerprint: Mapped[str]
    """The identity of (rule, group): at most one open alert has it."""
    rule_id: Mapped[UUID | None]
    """Null: a built-in alert."""
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
    """The matches after it, up to the alert's end, count towards it."""
    baseline: Mapped[float | None]
    """Of `spike`: the median that the window is held against, frozen while the alert is open."""
    insufficient_since: Mapped[datetime | None] = mapped_column("short_since", DateTime(timezone=True))
    """Of `ratio`: since when there are too few logs to judge."""
    suppressed_until_clear: Mapped[bool] = mapped_column("still_holds", server_default=text("false"))
    """It was ended while its condition over time held: it does not fire again before that was false in between."""
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolve_reason: Mapped[str | None]
    acknowledged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    acknowledged_by: Mapped[str | None]
    note: Mapped[str | None]
    silenced: Mapped[bool] = mapped_column(server_default=text("false"))
    occurrences: Mapped[int]
    value: Mapped[float | None]
    sample_sids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    late: Mapped[bool]
    left_out_accounts: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Accounts that the rule looks at and that could not be read when the alert last moved."""
    error_code: Mapped[int | None]
    """The code of its newest match that has one."""
    firing_notified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its firing was told; null: not told."""
    notified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When it was last told of, as firing or update."""
    notified_occurrences: Mapped[int] = mapped_column(server_default=text("0"))
    """How many occurrences had been told then."""
    notify_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When to look whether a notification is owed, where time alone decides; null: not by time."""


class Silence(Base):
    """A span of time in which some alerts are recorded and told to nobody."""

    __tablename__ = "silences"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rule_id: Mapped[UUID | None]
    """Null: every rule."""
    group: Mapped[Json]
    """It holds the alerts whose group has all these pairs."""
    starts_at: Mapped[Timestamp]
    ends_at: Mapped[Timestamp]
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[Timestamp]
