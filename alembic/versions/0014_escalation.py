"""Actions that escalate, and actions that bundle.

Revision: 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COLUMNS = (
    ("actions", sa.Column("after_minutes", sa.Integer(), server_default=sa.text("0"), nullable=False)),
    ("actions", sa.Column("bundle_seconds", sa.Integer(), server_default=sa.text("0"), nullable=False)),
    ("alerts", sa.Column("escalates_from", sa.DateTime(timezone=True), nullable=True)),
    ("deliveries", sa.Column("bundle_until", sa.DateTime(timezone=True), nullable=True)),
    ("deliveries", sa.Column("bundle_item", postgresql.JSONB(none_as_null=True), nullable=True)),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, column in COLUMNS:
        op.add_column(table, column)
    op.execute("UPDATE alerts SET escalates_from = firing_notified_at WHERE status <> 'resolved' AND NOT silenced")
    op.create_index(
        "ix_deliveries_bundled",
        "deliveries",
        ["action_id", "bundle_until"],
        postgresql_where=sa.text("bundle_until IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_deliveries_bundled", "deliveries")
    for table, column in reversed(COLUMNS):
        op.drop_column(table, column.name)
