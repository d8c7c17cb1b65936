"""Rules, the version of the rule set, and matches."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Rule(Base):
    """One of the user's rules."""

    __tablename__ = "rules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    description: Mapped[str]
    enabled: Mapped[bool]
    severity: Mapped[str]
    log_type: Mapped[str]
    filters: Mapped[Json]
    pattern_type: Mapped[str]
    pattern_value: Mapped[str | None]
    condition: Mapped[Json]
    group_by: Mapped[list[str]] = mapped_column(ARRAY(Text))
    renotify_minutes: Mapped[int | None]
    resolve_after_minutes: Mapped[int]
    cooldown_minutes: Mapped[int]
    schedule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    epoch: Mapped[int] = mapped_column(server_default=text("1"))
    """Grows when the meaning is edited or the rule is enabled: matches of an earlier epoch do not count."""
    started_at: Mapped[Timestamp]
    """Logs that changed before it do not count."""
    last_evaluated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_matched_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]


class RuleSet(Base):
    """One row whose version moves with every change of a rule.

    Evaluations hold it shared and changes of rules exclusively, so that an evaluation sees one rule set throughout.
    """

    __tablename__ = "rule_sets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[BigInt]
    """Microseconds since 1970 of the last change: no other rule set, of whatever database, has the same."""


class Match(Base):
    """One log and one rule, once. It outlives its rule, since alerts do."""

    __tablename__ = "matches"
    __table_args__ = (
        Index(None, "alert_id", "changed_at", postgresql_where=text("alert_id IS NOT NULL")),
        Index(None, "rule_id", "group_key", postgresql_where=text("held")),
    )

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    log_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    occurred_at: Mapped[Timestamp]
    changed_at: Mapped[Timestamp]
    sid: Mapped[str]
    account_id: Mapped[int]
    error_code: Mapped[int | None]
    group_key: Mapped[str]
    alert_id: Mapped[UUID | None]
    """The alert it counts towards."""
    held: Mapped[bool]
    """It waits for the streams to be complete before it is known which alert it belongs to."""
