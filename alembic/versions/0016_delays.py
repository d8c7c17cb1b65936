"""When messages became final, as far as that was seen, and hourly prices.

Revision: 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Of stored messages it is not known how late they were seen: they stay out of the times.
    op.add_column("logs", sa.Column("final_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delay_tallies", sa.Column("timed", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("log_kinds", sa.Column("price_unit", sa.Text(), nullable=True))
    # Null marks an hour that a process of the version before has counted, now or while it still runs.
    op.add_column("log_tallies", sa.Column("price", sa.Numeric(), nullable=True))
    op.create_index(
        op.f("ix_log_tallies_hour"), "log_tallies", ["hour"], unique=False, postgresql_where=sa.text("price IS NULL")
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The version before counts otherwise: it does so again for every hour.
    op.execute("INSERT INTO untallied_hours SELECT DISTINCT hour FROM log_tallies ON CONFLICT DO NOTHING")
    for table in ("log_tallies", "sender_tallies", "delay_tallies", "log_kinds"):
        op.execute(f"TRUNCATE {table}")
    op.drop_index(op.f("ix_log_tallies_hour"), table_name="log_tallies")
    op.drop_column("log_tallies", "price")
    op.drop_column("log_kinds", "price_unit")
    op.drop_column("delay_tallies", "timed")
    op.drop_column("logs", "final_at")
