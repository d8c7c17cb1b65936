"""Runs the migrations, one process at a time: a second one waits for the first, then finds nothing to do."""

import sys
from typing import Any

from alembic import context
from sqlalchemy import text

from app.database import make_engine, set_local
from app.errors import ConfigError
from app.models import Base
from app.utils.crashpoints import crashpoint

# Any number that nothing else in the database uses as an advisory lock.
MIGRATION_LOCK = 4_715_620_731
PATIENCE = {"statement_timeout": "0", "lock_timeout": "10min", "idle_in_transaction_session_timeout": "0"}
"""For the wait, and for what takes long; each migration sets how long it waits for the locks of tables."""


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Leave the monthly partitions out of comparisons: the product makes and drops them as months pass."""
    return not (
        kind == "table" and reflected and name is not None and name.rpartition("_p")[2].isdigit() and "_p" in name
    )


def run() -> None:
    try:
        engine = make_engine()
    except ConfigError as error:
        print(f"giftpulse: {error}", file=sys.stderr)
        sys.exit(2)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, include_object=include_object)
        # All migrations are one transaction, and the lock ends with it: a pooler cannot keep it on a connection of its
        # own, as it would a session's.
        with context.begin_transaction():
            connection.exec_driver_sql(set_local(PATIENCE))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()
            crashpoint("migrate.before_commit")
        connection.commit()
    crashpoint("migrate.after_commit")
    engine.dispose()


run()
