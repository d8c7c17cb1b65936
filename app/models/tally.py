"""Hourly log counts per combination of dimensions. Plots over months read these."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt


class TallyDimension(Base):
    """A combination of values that some log has, or had. There are few, regardless of the number of logs."""

    __tablename__ = "log_kinds"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    """All values in one text; null differs from the empty text."""
    account_id: Mapped[int]
    log_type: Mapped[str]
    status: Mapped[str | None]
    level: Mapped[str | None]
    direction: Mapped[str | None]
    to_country: Mapped[str | None]
    error_code: Mapped[int | None]
    messaging_service_sid: Mapped[str | None]
    final: Mapped[bool]


class LogTally(Base):
    """The logs with these dimensions that occurred in one hour."""

    __tablename__ = "log_tallies"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    """The start of the hour."""
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    logs: Mapped[int]


class SenderTally(Base):
    """The same by sender, without countries and messaging services."""

    __tablename__ = "sender_tallies"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True)
    """Empty if there is none."""
    logs: Mapped[int]


class DelayTally(Base):
    """Final outbound messages by whole seconds from creation to the final status."""

    __tablename__ = "delay_tallies"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    seconds: Mapped[int] = mapped_column(primary_key=True)
    logs: Mapped[int]


class UntalliedHour(Base):
    """An hour whose logs have changed since they were tallied."""

    __tablename__ = "untallied_hours"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)


class StreamTally(Base):
    """How far a stream's changes are processed; hours of later changes are untallied, too."""

    __tablename__ = "stream_tallies"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    change_id: Mapped[BigInt] = mapped_column(BigInteger, server_default=text("0"))
    """Changes of a stream are committed in the order of their ids."""
