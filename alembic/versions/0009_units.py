"""Sums of prices by currency.

Amounts counted before have no unit: they count towards each currency until they leave their windows.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = {"minute_counts": "minute", "hour_counts": "hour"}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, time in TABLES.items():
        op.add_column(table, sa.Column("unit", sa.Text(), server_default="", nullable=False))
        op.drop_constraint(f"pk_{table}", table)
        op.create_primary_key(f"pk_{table}", table, ["rule_id", "epoch", time, "group_key", "unit"])
    op.add_column("alerts", sa.Column("price_unit", sa.Text(), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("alerts", "price_unit")
    for table, time in TABLES.items():
        op.execute(
            f"CREATE TEMPORARY TABLE merged ON COMMIT DROP AS SELECT rule_id, epoch, {time}, group_key,"
            f" sum(total) AS total, sum(matched) AS matched, sum(amount) AS amount FROM {table} GROUP BY 1, 2, 3, 4"
        )
        op.execute(f"TRUNCATE {table}")
        op.drop_constraint(f"pk_{table}", table)
        op.drop_column(table, "unit")
        op.create_primary_key(f"pk_{table}", table, ["rule_id", "epoch", time, "group_key"])
        op.execute(
            f"INSERT INTO {table} (rule_id, epoch, {time}, group_key, total, matched, amount) SELECT * FROM merged"
        )
        op.execute("DROP TABLE merged")
