"""Who changed what, and the answers kept for requests that may come twice."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class AuditEntry(Base):
    """One change that somebody made. The database itself refuses to change it, or to delete it within a year."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "target", "id"), Index(None, "at", "id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[Timestamp]
    by: Mapped[str]
    """The name and prefix of the key, or what else made the change."""
    action: Mapped[str]
    """What was done, such as `rule.update`."""
    target: Mapped[str]
    """What it was done to, such as `rule:` and its id."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """How it stood before, secrets as fingerprints; null where it was made."""
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """How it stands since, secrets as fingerprints; null where it was deleted."""
    request_id: Mapped[str | None]


class IdempotentAnswer(Base):
    """The answer to a request that carried an `Idempotency-Key`, written in the transaction of its effect."""

    __tablename__ = "idempotent_answers"

    caller: Mapped[str] = mapped_column(primary_key=True)
    """Whose key called: one caller's keys mean nothing to another."""
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    """SHA-256 of method, path, query and body."""
    status: Mapped[int]
    answer: Mapped[str]
    """Headers and body as JSON, encrypted: an answer may show a new secret."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
