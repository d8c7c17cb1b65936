"""Hourly log counts per combination of dimensions. Plots over months read these."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ARRAY, BigInteger, DateTime, ForeignKey, Identity, Index, Integer, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt


class TallyDimension(Base):
    """A combination of values that some log has or had. There are few, however many logs there are."""

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
    price_unit: Mapped[str | None]
    """Null if no price is known."""


class LogTally(Base):
    """The logs with these dimensions that occurred in one hour."""

    __tablename__ = "log_tallies"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    """The start of the hour."""
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    logs: Mapped[int]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    """The total of the absolute prices; null if a process of an earlier version has counted the hour."""


class SenderTally(Base):
    """The same by sender, without countries and messaging services."""

    __tablename__ = "sender_tallies"
    __table_args__ = (Index(None, "hour", postgresql_where=text("price IS NULL")),)

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True)
    """Empty if there is none."""
    logs: Mapped[int]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    """As above."""
    seconds: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    """The delays of `DelayTally` that were seen in time to tell: a row for each would be as many as there are logs."""
    timed: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    """How many took each of the `seconds`."""


class DelayTally(Base):
    """Final outbound messages by whole seconds from creation to the final status, as far as that is known."""

    __tablename__ = "delay_tallies"

    hour: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind_id: Mapped[int] = mapped_column(primary_key=True)
    seconds: Mapped[int] = mapped_column(primary_key=True)
    logs: Mapped[int]
    timed: Mapped[int] = mapped_column(server_default=text("0"))
    """Those of them that were seen in time."""


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
