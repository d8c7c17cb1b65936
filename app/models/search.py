"""Search text of logs. A separate table, because a trigram index on logs would halve the insert rate."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Timestamp


class LogText(Base):
    """The texts of a log in lower case, written shortly after the log. Partitioned like the logs."""

    __tablename__ = "log_texts"
    __table_args__ = (
        Index("ix_log_texts_words", "words", postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"}),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    occurred_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    log_id: Mapped[BigInt] = mapped_column(primary_key=True)
    words: Mapped[str]


class StreamSearch(Base):
    """How far a stream's changes are indexed. The row is the indexer's lock."""

    __tablename__ = "stream_searches"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    change_id: Mapped[BigInt] = mapped_column(server_default=text("0"))
    """The last indexed change. Changes of a stream are committed in the order of their ids."""
