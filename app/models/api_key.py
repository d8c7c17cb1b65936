"""API keys. The bootstrap key of the environment has no row."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class ApiKey(Base):
    """A key that may call the API; only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    scope: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    """The public part of the key, by which it is found."""
    key_hash: Mapped[str]
    """SHA-256 of the whole key, in hex: the key has 256 random bits and needs no slow hash."""
    created_at: Mapped[Timestamp]
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SignOut(Base):
    """A console session that was ended before its time."""

    __tablename__ = "sign_outs"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[Timestamp]
