"""Since when a stream was read at first, which a coverage gap does not move.

Revision: 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("streams", sa.Column("first_from", sa.DateTime(timezone=True), nullable=True))
    # Where a gap has moved `complete_from`, it is not known what was read before.
    op.execute(
        "UPDATE streams SET first_from = complete_from"
        " WHERE NOT EXISTS (SELECT FROM coverage_gaps WHERE stream_id = streams.id)"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("streams", "first_from")
