"""Hourly prices and delays by sender; only actions that are notified of firings bundle them.

Revision: 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Null marks an hour that a process of a version before has counted, now or while it still runs.
    op.add_column("sender_tallies", sa.Column("price", sa.Numeric(), nullable=True))
    for name in ("seconds", "timed"):
        op.add_column("sender_tallies", sa.Column(name, sa.ARRAY(sa.Integer()), nullable=True))
    _mark("sender_tallies", instead_of="log_tallies")
    # It had no effect, and is refused from now on.
    op.execute("UPDATE actions SET bundle_seconds = 0 WHERE NOT 'firing' = ANY(notify_on)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _mark("log_tallies", instead_of="sender_tallies")
    for name in ("price", "seconds", "timed"):
        op.drop_column("sender_tallies", name)


def _mark(table: str, instead_of: str) -> None:
    """Find the hours that are to be counted again in this table."""
    op.drop_index(op.f(f"ix_{instead_of}_hour"), table_name=instead_of)
    op.create_index(op.f(f"ix_{table}_hour"), table, ["hour"], unique=False, postgresql_where=sa.text("price IS NULL"))
