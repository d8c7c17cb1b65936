"""Actions: where notifications go."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class Action(Base):
    """One configured target of notifications."""

    __tablename__ = "actions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rule_id: Mapped[UUID | None]
    """Null: it serves every rule and the built-in alerts."""
    action_type: Mapped[str]
    enabled: Mapped[bool]
    min_severity: Mapped[str]
    notify_on: Mapped[list[str]] = mapped_column(ARRAY(Text))
    config: Mapped[str]
    """JSON, encrypted under `SECRET_KEY`: it holds URLs and secrets."""
    disabled_reason: Mapped[str | None]
    """Why GiftPulse disabled it; null: it is enabled, or a person disabled it."""
    failures_in_a_row: Mapped[int] = mapped_column(server_default=text("0"))
    """Attempts since its receiver last answered that failed in a way that may pass."""
    probe_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Its receiver seems to be down: until then deliveries may wait for each other; null: it seems to be up."""
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the first attempt after its last success failed; null: the last one succeeded."""
    free_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its rate would be used up to nothing: the clock of the limit of deliveries a second."""
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
