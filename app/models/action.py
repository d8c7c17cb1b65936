"""Actions: where notifications go."""

from uuid import UUID, uuid4

from sqlalchemy import Text
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
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
