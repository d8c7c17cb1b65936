"""Deliveries: the outbox. One notification to one receiver, and every attempt."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Delivery(Base):
    """One notification through one action to one receiver. It outlives its action and its alert's rule."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "next_attempt_at", postgresql_where=text("status = 'pending'")),
        Index(None, "alert_id", "action_id", "recipient", "number"),
        Index(None, "action_id", "created_at"),
        Index("ix_deliveries_due", "action_id", "next_attempt_at", postgresql_where=text("status = 'pending'")),
        Index("ix_deliveries_leased", "action_id", postgresql_where=text("lease_until IS NOT NULL")),
        Index(
            "ix_deliveries_untold",
            "action_id",
            "created_at",
            postgresql_where=text("status = 'folded' AND digest_id IS NULL"),
        ),
        Index("ix_deliveries_bundled", "action_id", "bundle_until", postgresql_where=text("bundle_until IS NOT NULL")),
        Index(None, "created_at", "id"),
        Index(
            "ix_deliveries_not_succeeded", "status", "created_at", "id", postgresql_where=text("status <> 'succeeded'")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[BigInt] = mapped_column(Identity())
    """The order of creation, and of sending for one alert and receiver."""
    alert_id: Mapped[UUID | None]
    """Null for a digest, a report or a test."""
    action_id: Mapped[UUID]
    action_type: Mapped[str]
    type: Mapped[str]
    recipient: Mapped[str]
    status: Mapped[str]
    content: Mapped[Json]
    """The content, fixed at creation."""
    warning: Mapped[str | None]
    """What was missing when it was rendered."""
    created_at: Mapped[Timestamp]
    next_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    retries_from: Mapped[int] = mapped_column(server_default=text("0"))
    """The attempts before the current retry schedule: a manual retry restarts it."""
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    bundle_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until then it waits for others in its bundle; null: it does not wait."""
    held_by: Mapped[str | None]
    """What withheld it when its bundle ended; null: nothing. An alert that still fires when that ends is sent again."""
    bundle_item: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Its item in the digest of its bundle; empty for that digest itself; null: it belongs to no bundle."""
    digest_id: Mapped[UUID | None]
    """The digest that contains it; null: it is sent by itself, or waits for the digest."""


class Attempt(Base):
    """One try to send a delivery. Created before anything is sent, updated afterwards."""

    __tablename__ = "attempts"
    __table_args__ = (Index(None, "delivery_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"))
    token: Mapped[UUID]
    at: Mapped[Timestamp]
    duration_ms: Mapped[int | None]
    outcome: Mapped[str]
    status_code: Mapped[int | None]
    response: Mapped[str | None]
    error: Mapped[str | None]
