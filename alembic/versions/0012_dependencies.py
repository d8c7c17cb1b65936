"""Rules that depend on rules, and the alerts that this suppresses.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Alerts about missing logs concern whole accounts, whatever their few matches say.
ACCOUNTS_OF_OPEN_ALERTS = """
    UPDATE alerts SET account_ids = found.ids FROM (
        SELECT a.id, array_agg(DISTINCT m.account_id ORDER BY m.account_id) AS ids
        FROM alerts a JOIN rules r ON r.id = a.rule_id JOIN matches m ON m.alert_id = a.id
        WHERE a.status <> 'resolved' AND r.condition ->> 'type' <> 'no_data' GROUP BY a.id
    ) AS found WHERE alerts.id = found.id
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    uuids, numbers = postgresql.ARRAY(sa.Uuid()), postgresql.ARRAY(sa.Integer())
    op.add_column("rules", sa.Column("depends_on", uuids, server_default=sa.text("'{}'"), nullable=False))
    op.add_column("alerts", sa.Column("suppressed_by", sa.Uuid(), nullable=True))
    op.add_column("alerts", sa.Column("account_ids", numbers, server_default=sa.text("'{}'"), nullable=False))
    op.execute(ACCOUNTS_OF_OPEN_ALERTS)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("alerts", "account_ids")
    op.drop_column("alerts", "suppressed_by")
    op.drop_column("rules", "depends_on")
