"""What an import has made: by which name of its document each thing is known."""

from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class ManagedEntry(Base):
    """A rule, action or silence that an import has named. Only these are ever pruned by one."""

    __tablename__ = "managed_entries"
    __table_args__ = (UniqueConstraint("kind", "object_id"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    """`rule`, `action` or `silence`."""
    slug: Mapped[str] = mapped_column(primary_key=True)
    """Its name in the document."""
    object_id: Mapped[UUID]
    references: Mapped[dict[str, str]] = mapped_column(JSONB)
    """Paths of its config that named environment variables, and how."""
