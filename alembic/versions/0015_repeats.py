"""Silences that hold again and again, and for ever.

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("silences", sa.Column("repeat", postgresql.JSONB(none_as_null=True), nullable=True))
    op.alter_column("silences", "ends_at", nullable=True)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # What this schema cannot hold must not silence more than it did: a repeat would hold without a break.
    op.execute("DELETE FROM silences WHERE repeat IS NOT NULL OR ends_at IS NULL")
    op.alter_column("silences", "ends_at", nullable=False)
    op.drop_column("silences", "repeat")
