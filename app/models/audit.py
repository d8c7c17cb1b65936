"""The audit, and responses stored for repeated requests."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class AuditEntry(Base):
    """One change by a user. The database refuses to change it, or to delete it within a year."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "target", "id"), Index(None, "at", "id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[Timestamp]
    by: Mapped[str]
    """The name and prefix of the key, or another author."""
    action: Mapped[str]
    """The operation, such as `rule.update`."""
    target: Mapped[str]
    """The object, such as `rule:` plus its id."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The state before, with fingerprints instead of secrets; null if it was created."""
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The state after, with fingerprints instead of secrets; null if it was deleted."""
    request_id: Mapped[str | None]


class IdempotentAnswer(Base):
    """The response to a request with an `Idempotency-Key`, or its reservation: then the status is 0."""

    __tablename__ = "idempotent_answers"

    caller: Mapped[str] = mapped_column(primary_key=True)
    """The caller's API key: idempotency keys are separate for each caller."""
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    """SHA-256 of method, path, query and body."""
    status: Mapped[int]
    answer: Mapped[str]
    """Headers and body as JSON, encrypted: a response may show a new secret."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
