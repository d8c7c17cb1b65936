"""Counters and heartbeats of the workers, written in the transaction that did the work and read at the scrape."""

from sqlalchemy import Double, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Timestamp


class Counter(Base):
    """A Prometheus counter or histogram bucket, split into parts so that workers do not wait for each other."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    """JSON object with sorted keys."""
    part: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    value: Mapped[float] = mapped_column(Double)


class Heartbeat(Base):
    """When a process of each type was last active, and when `HEARTBEAT_URL` was last pinged."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    """`worker`, `beat`, or `sent` for the ping."""
    seen_at: Mapped[Timestamp]


class Lag(Base):
    """How far each stage was behind at one minute, in seconds."""

    __tablename__ = "lags"

    at: Mapped[Timestamp] = mapped_column(primary_key=True)
    reading: Mapped[float] = mapped_column(Double)
    """Since the moment up to which the stream that is furthest behind is completely read."""
    evaluation: Mapped[float] = mapped_column(Double)
    """The age of the oldest change that is not evaluated."""
    delivery: Mapped[float] = mapped_column(Double)
    """Since the oldest delivery that waits only for a worker was due."""
