"""Which credentials an account is read with, since when, and when a record was first set aside.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("accounts", sa.Column("credentials_hash", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("credentials_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "quarantined_records",
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute("UPDATE quarantined_records SET first_seen_at = seen_at")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("quarantined_records", "first_seen_at")
    op.drop_column("accounts", "credentials_at")
    op.drop_column("accounts", "credentials_hash")
