"""Rules, the version of the rule set, and matches."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, Index, Numeric, PrimaryKeyConstraint, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigInt, Json, Timestamp


class Rule(Base):
    """A rule of the user."""

    __tablename__ = "rules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    slug: Mapped[str | None] = mapped_column(unique=True)
    """For a rule from a pack: identifies it after edits."""
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
    depends_on: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    """While an alert of one of these rules is open, its alerts in the same accounts are suppressed."""
    epoch: Mapped[int] = mapped_column(server_default=text("1"))
    """Incremented when the meaning is edited or the rule is enabled. Matches of earlier epochs do not count."""
    started_at: Mapped[Timestamp]
    """Logs that changed earlier do not count."""
    last_evaluated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_matched_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_error: Mapped[str | None]
    last_error_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the rule last failed as a whole, not only for some log."""
    error_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Logs and evaluations that failed since the rule started."""
    cost_ms: Mapped[float | None]
    """The cost of its last evaluation, in milliseconds."""
    groups_capped: Mapped[bool] = mapped_column(server_default=text("false"))
    """There were more groups than slots; the rest share `__other__`."""
    seeded: Mapped[bool] = mapped_column(server_default=text("false"))
    """Its warm-up is complete; until then it is not evaluated."""
    judged_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The last full minute at which its condition over time was evaluated."""
    created_at: Mapped[Timestamp]
    updated_at: Mapped[Timestamp]


class RuleSet(Base):
    """One row whose version is bumped by every change of a rule.

    It changes under `AdvisoryLock.RULE_SET`, which evaluations hold in shared mode: each sees one rule set throughout.
    """

    __tablename__ = "rule_sets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[BigInt]
    """Microseconds since 1970 of the last change: unique, even across databases."""


class Match(Base):
    """One log and one rule, once. It outlives its rule, because alerts do."""

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
    """The time of the first version that matched."""
    sid: Mapped[str]
    account_id: Mapped[int]
    error_code: Mapped[int | None]
    group_key: Mapped[str]
    alert_id: Mapped[UUID | None]
    """The alert that it counts towards."""
    pending: Mapped[bool] = mapped_column("held")
    """It may still join an alert: for `each`, `threshold` and `new_value`, while it is in none."""
    new_value: Mapped[str | None]
    """For `new_value`: its value as JSON, if no match within the lookback had it before."""


class MinuteCount(Base):
    """The totals of one minute for one rule and group, from the latest versions of logs.

    A minute is named by its end: it covers the time after the previous minute up to and including its end.
    """

    __tablename__ = "minute_counts"
    __table_args__ = (PrimaryKeyConstraint("rule_id", "epoch", "minute", "group_key", "unit"),)

    rule_id: Mapped[UUID]
    epoch: Mapped[int]
    minute: Mapped[Timestamp]
    group_key: Mapped[str]
    unit: Mapped[str] = mapped_column(server_default="")
    """The currency of `amount`; empty if there is none or it is unknown."""
    total: Mapped[int]
    """Final logs of the population; only for `ratio`."""
    matched: Mapped[int]
    """Matching logs; for `ratio`, only final ones."""
    amount: Mapped[Decimal] = mapped_column(Numeric)
    """For `sum`: the total of the absolute values of its field."""


class HourCount(Base):
    """The totals of one hour, named by its end, for rules with long windows."""

    __tablename__ = "hour_counts"
    __table_args__ = (PrimaryKeyConstraint("rule_id", "epoch", "hour", "group_key", "unit"),)

    rule_id: Mapped[UUID]
    epoch: Mapped[int]
    hour: Mapped[Timestamp]
    group_key: Mapped[str]
    unit: Mapped[str] = mapped_column(server_default="")
    total: Mapped[int]
    matched: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(Numeric)


class RuleGroup(Base):
    """A group that has one of the rule's slots."""

    __tablename__ = "rule_groups"

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True)
    first_match_at: Mapped[Timestamp]
    """When the group appeared, or reappeared after it lost its slot."""
    last_match_at: Mapped[Timestamp]


class SeenValue(Base):
    """A run of one value: matches of a `new_value` rule, none further from the next than the lookback.

    Independent of the retention of logs.
    """

    __tablename__ = "seen_values"

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    """As JSON: 1 and "1" are different values."""
    since_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    """The time of its first match, when the value was new."""
    last_at: Mapped[Timestamp]
    """The time of its last match."""
