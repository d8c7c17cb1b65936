"""Runs of values and groups, and sums by the hour.

A value of `new_value` may have been there several times with silence in between; a group of `no_data` was not there
before it came; long windows are added up by the hour.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HOUR = "date_bin('1 hour', minute - interval '1 microsecond', '2000-01-01Z') + interval '1 hour'"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("pk_seen_values", "seen_values")
    op.create_primary_key("pk_seen_values", "seen_values", ["rule_id", "epoch", "group_key", "value", "since_at"])
    # A group of before is taken to have been there all along: what came when is no longer known.
    op.add_column(
        "rule_groups",
        sa.Column("first_match_at", sa.DateTime(timezone=True), server_default="1970-01-01Z", nullable=False),
    )
    op.alter_column("rule_groups", "first_match_at", server_default=None)
    op.add_column("matches", sa.Column("new_value", sa.Text(), nullable=True))
    # Which value that was is no longer known: it stays new.
    op.execute("UPDATE matches SET new_value = '' WHERE held AND novel")
    op.drop_column("matches", "novel")
    op.create_table(
        "hour_counts",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "epoch", "hour", "group_key", name=op.f("pk_hour_counts")),
    )
    op.execute(
        "INSERT INTO hour_counts (rule_id, epoch, hour, group_key, total, matched, amount)"
        f" SELECT kept.rule_id, kept.epoch, {HOUR}, group_key, sum(total), sum(matched), sum(amount)"
        " FROM minute_counts AS kept JOIN rules ON rules.id = kept.rule_id AND rules.epoch = kept.epoch"
        " WHERE CAST(rules.condition ->> 'window_minutes' AS int) >= 360 GROUP BY 1, 2, 3, 4"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("hour_counts")
    op.add_column("matches", sa.Column("novel", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE matches SET novel = true WHERE held AND new_value IS NOT NULL")
    op.drop_column("matches", "new_value")
    op.drop_column("rule_groups", "first_match_at")
    op.execute(
        "DELETE FROM seen_values AS older USING seen_values AS newer WHERE newer.rule_id = older.rule_id"
        " AND newer.epoch = older.epoch AND newer.group_key = older.group_key AND newer.value = older.value"
        " AND newer.since_at > older.since_at"
    )
    op.drop_constraint("pk_seen_values", "seen_values")
    op.create_primary_key("pk_seen_values", "seen_values", ["rule_id", "epoch", "group_key", "value"])
