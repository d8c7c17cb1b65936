"""Objects created by imports, with the slug that their document gave them."""

from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class ManagedEntry(Base):
    """A rule, action or silence from an import. Only these are ever pruned."""

    __tablename__ = "managed_entries"
    __table_args__ = (UniqueConstraint("kind", "object_id"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    """`rule`, `action` or `silence`."""
    slug: Mapped[str] = mapped_column(primary_key=True)
    """Its slug in the document."""
    object_id: Mapped[UUID]
    references: Mapped[dict[str, str]] = mapped_column(JSONB)
    """How its config refers to environment variables, by path."""
