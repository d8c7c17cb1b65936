"""A process that is killed at any boundary of any stage loses nothing, and doubles only what it left in doubt."""

import os

import pytest
from sqlalchemy import text

from app.database import session_scope
from scripts.local.postgres import Postgres
from tests.conftest import forget
from tests.integration.faults.conftest import Town
from tests.kits.stages import KILLED, Stages

POLL = ("claimed", "page", "before_commit", "after_commit", "finished")
EVALUATE = ("between", "before_commit", "after_commit")
DELIVER = ("claimed", "sent", "recording", "recorded")


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", POLL)
def test_a_poll_that_is_killed_is_made_up_for(town: Town, point: str, number: int) -> None:
    assert town.stages.run("poll", f"poll.{point}:{number}") == KILLED
    town.check_always()
    town.go_on()
    town.check_in_the_end()


@pytest.mark.parametrize(
    ("point", "number"),
    [("between", 1), ("before_commit", 1), ("before_commit", 2), ("after_commit", 1), ("after_commit", 2)],
)
def test_an_evaluation_that_is_killed_is_made_up_for(town: Town, point: str, number: int) -> None:
    assert town.stages.run("poll") == 0
    assert town.stages.run("evaluate", f"evaluate.{point}:{number}") == KILLED
    town.check_always()
    town.go_on()
    town.check_in_the_end()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", DELIVER)
def test_a_delivery_that_is_killed_is_sent_once_or_again_under_its_one_id(town: Town, point: str, number: int) -> None:
    assert town.stages.run("poll") == 0
    assert town.stages.run("evaluate") == 0
    assert town.stages.run("deliver", f"deliver.{point}:{number}") == KILLED
    town.check_always()
    sent = town.received().total()
    assert town.stages.run("deliver") == 0
    assert max(town.received().values(), default=1) == 1, "what is leased is left alone until the lease ends"
    in_doubt = sum(attempt.outcome == "started" for attempt in town.attempts())
    town.go_on()
    town.check_in_the_end(in_doubt)
    if point == "claimed" and number == 1:
        assert sent == 0
        assert max(town.received().values()) == 1
    if point in ("sent", "recording") and number == 1:
        assert town.received().total() == len(town.deliveries()) + sent


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_clean_up_that_is_killed_is_made_up_for(town: Town, point: str) -> None:
    assert town.stages.run("clean", f"retention.{point}") == KILLED
    town.go_on()
    assert town.stages.run("clean") == 0
    town.check_in_the_end()


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_migration_that_is_killed_is_made_up_for(
    postgres: Postgres, environment: pytest.MonkeyPatch, point: str
) -> None:
    postgres.create_database("killed")
    environment.setenv("DATABASE_URL", postgres.url("killed"))
    forget()
    try:
        stages = Stages(os.environ)
        assert stages.run("migrate", f"migrate.{point}") == KILLED
        assert stages.run("migrate") == 0
        with session_scope() as session:
            assert session.scalar(text("SELECT count(*) FROM alembic_version")) == 1
            assert session.scalar(text("SELECT count(*) FROM rule_sets")) == 1
    finally:
        forget()
        postgres.drop_database("killed")
