"""A deployment that is half done: processes that meet the schema of another version, until it is whole."""

from collections import Counter

from sqlalchemy import select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Base, Match
from app.services import health
from app.utils.clock import utc_now
from tests.conftest import migrate
from tests.integration.faults.conftest import CrashRig

STAGES = ("poll", "evaluate", "deliver")


def _database() -> health.Check:
    return health.examine(get_settings(), utc_now()).checks["database"]


def test_processes_that_still_run_continue_with_the_schema_of_the_next_version(rig: CrashRig) -> None:
    """Its migrations only add: tables, and columns that have a default."""
    with session_scope() as session:
        for name in Base.metadata.tables:
            session.execute(text(f"ALTER TABLE {name} ADD COLUMN of_the_next_version integer NOT NULL DEFAULT 0"))
        session.execute(text("UPDATE alembic_version SET version_num = 'next'"))
    for stage in STAGES:
        assert rig.stages.run(stage) == 0
    rig.check_in_the_end()
    assert _database().status == "ok"


def test_processes_that_come_before_their_schema_move_nothing_and_say_so(rig: CrashRig, database: str) -> None:
    migrate(database, "0003", back=True)
    for stage in STAGES:
        rig.stages.run(stage)
    assert not rig.stored()
    check = _database()
    assert (check.status, "alembic upgrade head" in check.detail) == ("down", True)
    migrate(database)
    rig.go_on()
    rig.check_always()
    assert set(rig.stored()) == rig.emitted()
    with session_scope() as session:
        assert Counter(session.scalars(select(Match.rule_id))) == dict.fromkeys(rig.rules, 3)
    assert {each.status for each in rig.deliveries()} == {"succeeded"}
    assert set(rig.received().values()) == {1}
