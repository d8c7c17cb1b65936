"""Reports by mail and webhook.

Revision: 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("actions", sa.Column("report", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("actions", sa.Column("report_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("actions", sa.Column("report_waits_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("actions", "report_waits_until")
    op.drop_column("actions", "report_due_at")
    op.drop_column("actions", "report")
