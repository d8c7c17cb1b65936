"""Runs the migrations, one process at a time: a second one waits, then finds nothing to do."""

import sys
from typing import Any

from alembic import context
from sqlalchemy import text

from app.database import AdvisoryLock, make_engine, set_local
from app.errors import ConfigError
from app.models import Base
from app.utils.crashpoints import crashpoint

PATIENCE = {"statement_timeout": "0", "lock_timeout": "10min", "idle_in_transaction_session_timeout": "0"}
"""Covers the wait and long statements; each migration sets its own timeout for table locks."""


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Exclude the monthly partitions from comparisons: the product creates and drops them."""
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
        # All migrations are one transaction, which holds the lock: with a pooler, a lock of the session could end up on
        # another connection.
        with context.begin_transaction():
            connection.exec_driver_sql(set_local(PATIENCE))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AdvisoryLock.MIGRATION})
            context.run_migrations()
            crashpoint("migrate.before_commit")
        connection.commit()
    crashpoint("migrate.after_commit")
    engine.dispose()


run()
