"""Tallies of the logs of each hour, from which plots are drawn.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TALLIES = {"log_tallies": {}, "sender_tallies": {"sender": sa.Text()}, "delay_tallies": {"seconds": sa.Integer()}}


def _hour() -> sa.Column[object]:
    return sa.Column("hour", sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "log_kinds",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("to_country", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("messaging_service_sid", sa.Text(), nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_kinds")),
        sa.UniqueConstraint("key", name=op.f("uq_log_kinds_key")),
    )
    for table, columns in TALLIES.items():
        op.create_table(
            table,
            _hour(),
            sa.Column("kind_id", sa.Integer(), nullable=False),
            *(sa.Column(name, kind, nullable=False) for name, kind in columns.items()),
            sa.Column("logs", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("hour", "kind_id", *columns, name=op.f(f"pk_{table}")),
        )
    op.create_table("untallied_hours", _hour(), sa.PrimaryKeyConstraint("hour", name=op.f("pk_untallied_hours")))
    op.create_table(
        "stream_tallies",
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_stream_tallies_stream_id_streams"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream_tallies")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("stream_tallies", "untallied_hours", *TALLIES, "log_kinds"):
        op.drop_table(table)
