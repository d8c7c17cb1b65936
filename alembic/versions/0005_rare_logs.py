"""Indexes that find logs by a code, or by a status that few have.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # A second or two for each million logs.
    op.execute("SET LOCAL statement_timeout = 0")
    op.create_index(
        op.f("ix_logs_error_code_occurred_at"),
        "logs",
        ["error_code", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("error_code IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_logs_status_occurred_at"),
        "logs",
        ["status", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('delivered', 'received', 'read', 'completed')"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_logs_status_occurred_at"), table_name="logs")
    op.drop_index(op.f("ix_logs_error_code_occurred_at"), table_name="logs")
