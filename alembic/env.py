"""Runs the migrations, one process at a time: a second one waits for the first, then finds nothing to do."""

import sys
from typing import Any

from alembic import context
from sqlalchemy import create_engine, text

from app.config import get_settings
from app.errors import ConfigError
from app.models import Base
from app.utils.crashpoints import crashpoint

# Any number that nothing else in the database uses as an advisory lock.
MIGRATION_LOCK = 4_715_620_731


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Leave the monthly partitions out of comparisons: the product makes and drops them as months pass."""
    return not (
        kind == "table" and reflected and name is not None and name.rpartition("_p")[2].isdigit() and "_p" in name
    )


def run() -> None:
    try:
        url = get_settings().sqlalchemy_url
    except ConfigError as error:
        print(f"giftpulse: {error}", file=sys.stderr)
        sys.exit(2)
    engine = create_engine(url)
    # The lock lives on a connection of its own, so that no commit within a migration gives it up early.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as guard, engine.connect() as connection:
        guard.execute(text("SET lock_timeout = '10min'"))
        guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        context.configure(connection=connection, target_metadata=Base.metadata, include_object=include_object)
        with context.begin_transaction():
            context.run_migrations()
            crashpoint("migrate.before_commit")
        connection.commit()
    crashpoint("migrate.after_commit")
    engine.dispose()


run()
