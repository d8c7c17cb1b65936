"""Watched accounts, and the streams by which each is read."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Identity, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Timestamp


class Account(Base):
    """A watched Twilio account. The account of the environment keeps its credentials there, not here."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    sid: Mapped[str] = mapped_column(unique=True)
    friendly_name: Mapped[str | None]
    parent_sid: Mapped[str | None]
    auth_token: Mapped[str | None]
    """Encrypted under `SECRET_KEY`."""
    api_key_sid: Mapped[str | None]
    api_key_secret: Mapped[str | None]
    """Encrypted under `SECRET_KEY`."""
    next_auth_token: Mapped[str | None]
    """Encrypted: the secondary token while tokens are rotated; callbacks may be signed with it already."""
    signing_keys: Mapped[str | None]
    """Encrypted: JSON of the keys of the customer's own that callbacks may be signed with, by their ids."""
    api_base_url: Mapped[str | None]
    """Of another region or edge; null: the settings' address."""
    monitor_base_url: Mapped[str | None]
    status: Mapped[str | None]
    """What Twilio says of it: active, suspended, closed; null: not asked yet."""
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When Twilio was last asked for its status and its subaccounts."""
    last_error: Mapped[str | None]
    """Why that failed, if it did."""
    credentials_hash: Mapped[str | None]
    """Of the environment's credentials for this account, as they were last seen: other ones are tried at once."""
    credentials_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its present credentials were first seen; null: before this was noted."""
    from_environment: Mapped[bool] = mapped_column(server_default=text("false"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    include_subaccounts: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[Timestamp]
    """When it was added: what changed before never alerts."""


class Stream(Base):
    """An account and a log type: whose turn it is, who reads it, and how far it is known whole."""

    __tablename__ = "streams"
    __table_args__ = (UniqueConstraint("account_id", "log_type"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    log_type: Mapped[str]
    unavailable: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """The credential can never read it; it counts for nothing."""
    unavailable_reason: Mapped[str | None]
    complete_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Everything created from here to `complete_until` has been listed; a gap in the coverage moves it later."""
    complete_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Everything created up to it has been listed."""
    read_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Of a backlog being worked off, oldest first: what came before is read. Null: there is no backlog."""
    due_at: Mapped[Timestamp]
    """When it is to be polled next."""
    lease_token: Mapped[UUID | None]
    """Who polls it now: every write of a poll is fenced on it."""
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_success_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]
    last_error_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed polls in a row."""
    rereads_behind: Mapped[bool] = mapped_column(server_default=text("false"))
    """The request budget did not reach for all logs that were due to be read again."""
    swept_at: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """When the list was last read again, by how far back in seconds; and `ended`, the calls that ended."""
    resume_points: Mapped[dict[str, Any]] = mapped_column("reading", JSONB, server_default=text("'{}'"))
    """Where long listings go on that a poll could not finish: of a `slice`, of a `sweep`, of a `backfill`."""


class CoverageGap(Base):
    """A span that could not be read and that Twilio can no longer tell."""

    __tablename__ = "coverage_gaps"
    __table_args__ = (Index(None, "stream_id", "since"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    since: Mapped[Timestamp]
    until: Mapped[Timestamp]
    reason: Mapped[str]
    noted_at: Mapped[Timestamp]


class Backfill(Base):
    """A span of a stream that somebody asked to be read again, and how far that has come."""

    __tablename__ = "backfills"
    __table_args__ = (Index(None, "stream_id", postgresql_where=text("finished_at IS NULL")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    since: Mapped[Timestamp]
    until: Mapped[Timestamp]
    read_from: Mapped[Timestamp]
    """What came before it is read: the work goes on here after an interruption."""
    records: Mapped[int] = mapped_column(server_default=text("0"))
    """How many records were listed so far."""
    requested_at: Mapped[Timestamp]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]


class PushedRecord(Base):
    """What a callback told, once, until the log it is about has been read and for a day after."""

    __tablename__ = "pushed_records"
    __table_args__ = (
        UniqueConstraint("account_id", "sid", "digest"),
        Index(None, "account_id", "log_type", postgresql_where=text("applied_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    log_type: Mapped[str]
    sid: Mapped[str]
    digest: Mapped[BigInt]
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[Timestamp]
    applied_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StreamEvaluation(Base):
    """How far a stream's changes are evaluated; its row is the lock of the one who evaluates them."""

    __tablename__ = "stream_evaluations"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    change_id: Mapped[BigInt] = mapped_column(server_default=text("0"))
    """The last change evaluated. Changes of one stream are committed in the order of their ids."""
    complete_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The stream's `complete_until` that the evaluation has caught up with: all logs up to it are evaluated."""


class RequestCount(Base):
    """How many requests an account cost in one second."""

    __tablename__ = "request_counts"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    second: Mapped[Timestamp] = mapped_column("minute", primary_key=True)
    count: Mapped[int]


class QuarantinedRecord(Base):
    """A record of Twilio of so odd a shape that it is no log, kept with the reason."""

    __tablename__ = "quarantined_records"
    __table_args__ = (Index(None, "account_id", "seen_at"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    log_type: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[BigInt] = mapped_column(primary_key=True)
    reason: Mapped[str]
    record: Mapped[str]
    """The first 16 KiB of the record as it came."""
    first_seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    seen_at: Mapped[Timestamp]
