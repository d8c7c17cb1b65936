"""API keys. The environment's bootstrap key has no row."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class ApiKey(Base):
    """A key for the API; only its hash is stored."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    scope: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    """The public part of the key, for finding it."""
    key_hash: Mapped[str]
    """SHA-256 of the whole key, in hex. The key has 256 random bits and needs no slow hash."""
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SignOut(Base):
    """A console session that was ended early."""

    __tablename__ = "sign_outs"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Timestamp]
