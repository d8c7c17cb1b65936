"""How far reading, evaluation and delivery lagged, minute by minute.

Revision: 0021, after 0020.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "lags",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reading", sa.Double(), nullable=False),
        sa.Column("evaluation", sa.Double(), nullable=False),
        sa.Column("delivery", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_lags")),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("lags")
