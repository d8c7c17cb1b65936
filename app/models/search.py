"""What can be searched of the logs, kept apart from them: the trigram index would halve the rate of their storing."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Timestamp


class LogText(Base):
    """The texts of a log in lower case, written a while after the log. Partitioned as the logs are."""

    __tablename__ = "log_texts"
    __table_args__ = (
        Index("ix_log_texts_words", "words", postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"}),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    occurred_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    log_id: Mapped[BigInt] = mapped_column(primary_key=True)
    words: Mapped[str]


class StreamSearch(Base):
    """How far a stream's changes can be searched; its row is the lock of the one who writes them down."""

    __tablename__ = "stream_searches"

    stream_id: Mapped[int] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    change_id: Mapped[BigInt] = mapped_column(server_default=text("0"))
    """The last change written down. Changes of one stream are committed in the order of their ids."""
