"""People who signed in with the organization's own provider."""

from uuid import UUID, uuid4

from sqlalchemy import Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class Person(Base):
    """A person, as the provider described them at their last sign-in."""

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    issuer: Mapped[str]
    """`OIDC_ISSUER` at the sign-in: another issuer's person of the same subject is another person."""
    subject: Mapped[str]
    name: Mapped[str]
    address: Mapped[str | None]
    groups: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Those of the person's groups that the settings named at the sign-in."""
    mark: Mapped[str]
    """Random; every session carries it, and a new one ends all sessions."""
    created_at: Mapped[Timestamp]
    signed_in_at: Mapped[Timestamp]
