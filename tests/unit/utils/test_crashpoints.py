"""A crash point kills in test builds alone, and only at the pass that was asked for."""

import os
import signal

import pytest

from app.utils import crashpoints
from app.utils.crashpoints import crashpoint


@pytest.fixture
def killed(environment: pytest.MonkeyPatch) -> list[int]:
    """Signals that would have been sent to this process."""
    sent: list[int] = []
    crashpoints._passes.clear()
    environment.setattr(os, "kill", lambda _pid, sign: sent.append(sign))
    return sent


def test_it_does_nothing_outside_a_test_build(environment: pytest.MonkeyPatch, killed: list[int]) -> None:
    environment.setenv("GP_CRASHPOINT", "poll.page")
    for value in (None, "", "0", "true"):
        environment.delenv("GP_TEST_BUILD", raising=False)
        if value is not None:
            environment.setenv("GP_TEST_BUILD", value)
        crashpoint("poll.page")
    assert killed == []


@pytest.mark.parametrize(("asked", "dies_at"), [("poll.page", 1), ("poll.page:1", 1), ("poll.page:3", 3)])
def test_it_kills_at_the_pass_that_was_asked_for(
    environment: pytest.MonkeyPatch, killed: list[int], asked: str, dies_at: int
) -> None:
    environment.setenv("GP_TEST_BUILD", "1")
    environment.setenv("GP_CRASHPOINT", asked)
    for number in range(1, 5):
        crashpoint("poll.finished")
        crashpoint("poll.page")
        assert killed == ([signal.SIGKILL] if number >= dies_at else [])


def test_it_does_nothing_where_no_point_is_named(environment: pytest.MonkeyPatch, killed: list[int]) -> None:
    environment.setenv("GP_TEST_BUILD", "1")
    crashpoint("poll.page")
    assert killed == []
