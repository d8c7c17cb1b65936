"""Watched accounts and their streams."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Identity, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Timestamp


class Account(Base):
    """A watched Twilio account. The environment account's credentials are not stored."""

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
    """Encrypted: the secondary token during a rotation. Callbacks may already be signed with it."""
    signing_keys: Mapped[str | None]
    """Encrypted: JSON of the customer's own signing keys by id."""
    api_base_url: Mapped[str | None]
    """For another region or edge; null: the URL in the settings."""
    monitor_base_url: Mapped[str | None]
    status: Mapped[str | None]
    """Twilio's status: active, suspended, closed; null: not checked yet."""
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its status and subaccounts were last checked."""
    last_error: Mapped[str | None]
    """Why that failed, if it did."""
    credentials_hash: Mapped[str | None]
    """Hash of the environment's credentials when last seen: new ones are tried immediately."""
    credentials_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its current credentials were first seen; null: before this was recorded."""
    from_environment: Mapped[bool] = mapped_column(server_default=text("false"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    include_subaccounts: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[Timestamp]
    """When it was added. Earlier changes never alert."""


class Stream(Base):
    """An account and a log type: when to poll it, who polls it, and how far it is complete."""

    __tablename__ = "streams"
    __table_args__ = (UniqueConstraint("account_id", "log_type"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    log_type: Mapped[str]
    unavailable: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """The credentials can never read it; it is ignored."""
    unavailable_reason: Mapped[str | None]
    complete_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Everything created from here to `complete_until` was listed; a coverage gap moves it later."""
    first_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Where the first read began: `complete_from` before any gap. Null: not read, or not known."""
    complete_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Everything created up to here was listed."""
    read_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """With a backlog, which is read oldest first: everything before this was read. Null: no backlog."""
    due_at: Mapped[Timestamp]
    """When to poll it next."""
    lease_token: Mapped[UUID | None]
    """Who polls it now. Fences every write of a poll."""
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_success_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]
    last_error_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed polls in a row."""
    rereads_behind: Mapped[bool] = mapped_column(server_default=text("false"))
    """The last poll lacked time or requests for a backlog or for rereads that were due."""
    swept_at: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """When the list was last read again, by depth in seconds; `ended`: the calls that ended."""
    resume_points: Mapped[dict[str, Any]] = mapped_column("reading", JSONB, server_default=text("'{}'"))
    """Where unfinished listings continue: of a `slice`, a `sweep` or a `backfill`."""


class CoverageGap(Base):
    """A span that was not read and that Twilio no longer lists."""

    __tablename__ = "coverage_gaps"
    __table_args__ = (Index(None, "stream_id", "since"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    since: Mapped[Timestamp]
    until: Mapped[Timestamp]
    reason: Mapped[str]
    noted_at: Mapped[Timestamp]


class Backfill(Base):
    """A request to read a span of a stream again, and its progress."""

    __tablename__ = "backfills"
    __table_args__ = (Index(None, "stream_id", postgresql_where=text("finished_at IS NULL")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    since: Mapped[Timestamp]
    until: Mapped[Timestamp]
    read_from: Mapped[Timestamp]
    """Everything before this was read; an interrupted backfill continues here."""
    records: Mapped[int] = mapped_column(server_default=text("0"))
    """The number of records listed so far."""
    requested_at: Mapped[Timestamp]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]


class PushedRecord(Base):
    """A callback, stored once: until its log has been read, and for a day after."""

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
    """How far a stream's changes are evaluated. The row is the evaluator's lock."""

    __tablename__ = "stream_evaluations"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    change_id: Mapped[BigInt] = mapped_column(server_default=text("0"))
    """The last evaluated change. Changes of a stream are committed in the order of their ids."""
    complete_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The stream's `complete_until` as of the last evaluation: all logs up to it are evaluated."""


class RequestCount(Base):
    """The number of requests for an account in one second."""

    __tablename__ = "request_counts"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    second: Mapped[Timestamp] = mapped_column("minute", primary_key=True)
    count: Mapped[int]


class QuarantinedRecord(Base):
    """A malformed record of Twilio's, stored with the reason."""

    __tablename__ = "quarantined_records"
    __table_args__ = (Index(None, "account_id", "seen_at"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    log_type: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[BigInt] = mapped_column(primary_key=True)
    reason: Mapped[str]
    record: Mapped[str]
    """The first 16 KiB of the record, unchanged."""
    first_seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    seen_at: Mapped[Timestamp]
