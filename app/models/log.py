"""Logs in their latest state, and their changes: the history of a log and the queue of the evaluation.

Both are partitioned by month of `occurred_at`, which never changes, so that retention drops whole partitions.
"""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Index, LargeBinary, Numeric, Sequence, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Timestamp

LOG_IDS = Sequence("log_ids", metadata=Base.metadata)
CHANGE_IDS = Sequence("change_ids", metadata=Base.metadata)


class Log(Base):
    """One call, message or error-log entry. `from` and `text` are SQL keywords: columns have an underscore."""

    __tablename__ = "logs"
    __table_args__ = (
        UniqueConstraint("account_id", "sid", "occurred_at"),
        Index(None, "account_id", "log_type", "reread_at", postgresql_where=text("reread_at IS NOT NULL")),
        Index(None, "account_id", "resource_sid", postgresql_where=text("resource_sid IS NOT NULL")),
        Index(None, "error_code", "occurred_at", postgresql_where=text("error_code IS NOT NULL")),
        Index(
            None,
            "status",
            "occurred_at",
            # Most logs end in these statuses. They are found without an index, so they should not pay for one.
            postgresql_where=text("status NOT IN ('delivered', 'received', 'read', 'completed')"),
        ),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    occurred_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, LOG_IDS, primary_key=True)
    account_id: Mapped[int]
    sid: Mapped[str]
    log_type: Mapped[str]
    status: Mapped[str | None]
    level: Mapped[str | None]
    direction: Mapped[str | None]
    from_: Mapped[str | None]
    to_: Mapped[str | None]
    to_country: Mapped[str | None]
    error_code: Mapped[int | None]
    error_message: Mapped[str | None]
    text_: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    price_unit: Mapped[str | None]
    duration_seconds: Mapped[int | None]
    segments: Mapped[int | None]
    messaging_service_sid: Mapped[str | None]
    resource_sid: Mapped[str | None]
    changed_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]
    """Twilio's `date_updated`, which orders versions."""
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    pushed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When a callback reported the current status; null if Twilio's lists did."""
    final: Mapped[bool]
    final_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When a message became final, by Twilio's clock; null if it was not seen in time."""
    first_seen_at: Mapped[Timestamp]
    read_at: Mapped[Timestamp]
    """When it was last read while it was not final."""
    reread_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When to reread it; null: final or given up."""
    source: Mapped[str]
    content_hash: Mapped[BigInt]
    rest: Mapped[bytes | None] = mapped_column(LargeBinary)
    """JSON of Twilio's fields that have no column."""


class LogChange(Base):
    """One state of a log, seen once. Fields that never change are read from the log."""

    __tablename__ = "log_changes"
    __table_args__ = (
        Index(None, "log_id"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    stream_id: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, CHANGE_IDS, primary_key=True)
    occurred_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    log_id: Mapped[BigInt]
    is_first: Mapped[bool]
    """The log's first stored version: no rule can have matched it before."""
    status: Mapped[str | None]
    from_: Mapped[str | None]
    error_code: Mapped[int | None]
    error_message: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    duration_seconds: Mapped[int | None]
    segments: Mapped[int | None]
    final: Mapped[bool]
    changed_at: Mapped[Timestamp]
    seen_at: Mapped[Timestamp]
    source: Mapped[str]
