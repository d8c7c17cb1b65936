"""Indexes for lists of alerts by severity, of deliveries that did not succeed, and of the audit by time.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(op.f("ix_alerts_severity_started_at_id"), "alerts", ["severity", "started_at", "id"], unique=False)
    op.create_index(
        "ix_deliveries_not_succeeded",
        "deliveries",
        ["status", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status <> 'succeeded'"),
    )
    op.create_index(op.f("ix_audit_entries_at_id"), "audit_entries", ["at", "id"], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_audit_entries_at_id"), table_name="audit_entries")
    op.drop_index("ix_deliveries_not_succeeded", table_name="deliveries")
    op.drop_index(op.f("ix_alerts_severity_started_at_id"), table_name="alerts")
