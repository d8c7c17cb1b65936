"""Deliveries that are held: what withholds their alert began while they waited in a bundle.

Revision: 0018, after 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("deliveries", sa.Column("held_by", sa.Text(), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The schema before knows no hold: what is held waits for the end of its bundle, as it did.
    op.drop_column("deliveries", "held_by")
