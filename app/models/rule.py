"""Rules, the version of the rule set, and matches."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, Index, Numeric, PrimaryKeyConstraint, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Rule(Base):
    """One of the user's rules."""

    __tablename__ = "rules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    slug: Mapped[str | None] = mapped_column(unique=True)
    """Of a rule out of a pack: by it the pack knows its rule again, whatever has been edited since."""
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
    last_error_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When it last failed as a whole, and not only on some log."""
    error_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Logs and evaluations that failed since the rule started."""
    cost_ms: Mapped[float | None]
    """What its last evaluation cost."""
    groups_capped: Mapped[bool] = mapped_column(server_default=text("false"))
    """More groups came than have a place: the rest fall together."""
    seeded: Mapped[bool] = mapped_column(server_default=text("false"))
    """What it has to learn from stored logs is learnt; until then it judges nothing."""
    judged_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The last whole minute that a condition over time was judged at."""
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]


class RuleSet(Base):
    """One row whose version moves with every change of a rule.

    It moves under `engine.RULE_SET_LOCK`, which evaluations hold shared: each sees one rule set throughout.
    """

    __tablename__ = "rule_sets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[BigInt]
    """Microseconds since 1970 of the last change: no other rule set, of whatever database, has the same."""


class Match(Base):
    """One log and one rule, once. It outlives its rule, since alerts do."""

    __tablename__ = "matches"
    __table_args__ = (
        Index(None, "rule_id", "group_key", "changed_at"),
        Index(None, "log_id"),
        Index(None, "alert_id", "changed_at", postgresql_where=text("alert_id IS NOT NULL")),
        Index("ix_matches_held", "rule_id", "group_key", postgresql_where=text("held")),
    )

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    log_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    occurred_at: Mapped[Timestamp]
    changed_at: Mapped[Timestamp]
    """Of the first version that matched."""
    sid: Mapped[str]
    account_id: Mapped[int]
    error_code: Mapped[int | None]
    group_key: Mapped[str]
    alert_id: Mapped[UUID | None]
    """The alert it counts towards."""
    pending: Mapped[bool] = mapped_column("held")
    """It may still come to count towards an alert: of `each`, `threshold` and `new_value`, while it is in none."""
    new_value: Mapped[str | None]
    """Of `new_value`: the value that it carries, as JSON, where no match before it carried that in the lookback."""


class MinuteCount(Base):
    """What the logs of one minute come to for one rule and group, as their latest versions stand.

    A minute is named by its end: it holds what happened after the minute before, up to and with itself.
    """

    __tablename__ = "minute_counts"
    __table_args__ = (PrimaryKeyConstraint("rule_id", "epoch", "minute", "group_key"),)

    rule_id: Mapped[UUID]
    epoch: Mapped[int]
    minute: Mapped[Timestamp]
    group_key: Mapped[str]
    total: Mapped[int]
    """Final logs of the population; counted for `ratio` alone."""
    matched: Mapped[int]
    """Logs that match; of `ratio`, final ones."""
    amount: Mapped[Decimal] = mapped_column(Numeric)
    """Sum of the absolute values of the field of a `sum`."""


class HourCount(Base):
    """What the minutes of one hour come to, named by its end, for rules whose windows are long."""

    __tablename__ = "hour_counts"
    __table_args__ = (PrimaryKeyConstraint("rule_id", "epoch", "hour", "group_key"),)

    rule_id: Mapped[UUID]
    epoch: Mapped[int]
    hour: Mapped[Timestamp]
    group_key: Mapped[str]
    total: Mapped[int]
    matched: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(Numeric)


class RuleGroup(Base):
    """A group that has one of the places of a rule."""

    __tablename__ = "rule_groups"

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True)
    first_match_at: Mapped[Timestamp]
    """When it came, or came again after it had lost its place."""
    last_match_at: Mapped[Timestamp]


class SeenValue(Base):
    """A run of one value: matches of a `new_value` rule that carried it, none further from the next than the lookback.

    Kept apart from the logs.
    """

    __tablename__ = "seen_values"

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    """As JSON: 1 and "1" are two values."""
    since_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    """When its first match was: with that the value was new."""
    last_at: Mapped[Timestamp]
    """When its last match was."""
