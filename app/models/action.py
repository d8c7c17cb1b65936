"""Actions: where notifications go."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class Action(Base):
    """A configured target of notifications."""

    __tablename__ = "actions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rule_id: Mapped[UUID | None]
    """Null: it applies to every rule and to built-in alerts."""
    action_type: Mapped[str]
    enabled: Mapped[bool]
    min_severity: Mapped[str]
    notify_on: Mapped[list[str]] = mapped_column(ARRAY(Text))
    after_minutes: Mapped[int] = mapped_column(server_default=text("0"))
    """It is notified only of alerts that nobody has acknowledged for this long; 0: at once."""
    bundle_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    """Firings within this long of the first are sent together; 0: each by itself."""
    config: Mapped[str]
    """JSON, encrypted under `SECRET_KEY`: it contains URLs and secrets."""
    disabled_reason: Mapped[str | None]
    """Why GiftPulse disabled it; null: it is enabled, or was disabled by a user."""
    failures_in_a_row: Mapped[int] = mapped_column(server_default=text("0"))
    """Transient failures since the receiver last responded."""
    probe_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The breaker is open: until then deliveries wait; null: it is closed."""
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The first failure after the last success; null: the last attempt succeeded."""
    free_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The clock of the rate limit: when the rate that was used is free again."""
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The schedule of its reports; null: it gets none."""
    report_due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the next report is due, which is the end of its span; null: it gets none, or is disabled."""
    report_waits_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until then a due report waits until its span is read; null: no report was found due."""
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
