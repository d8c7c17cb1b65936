"""The outbox in any order of events: claims, crashes, late completions, edits, floods and a clock that is set back."""

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from app import wake
from app.config import get_settings
from app.services.outbox import dispatch
from tests.conftest import forget
from tests.kits.outbox_machine import SCHEDULE, OutboxMachine, small_limits
from tests.profiles import examples

QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]

# The scripted bugs are logged with what goes with them: nowhere, however the process has set its logging up.
SILENT = structlog.wrap_logger(structlog.ReturnLogger(), processors=[], wrapper_class=structlog.BoundLogger)


@pytest.fixture
def small_outbox(database: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DELIVERY_RETRY_SECONDS", ",".join(map(str, SCHEDULE)))
    environment.setenv("SMTP_HOST", "mail.example.com")
    environment.setenv("SMTP_FROM", "GiftPulse <alerts@example.com>")
    forget()
    assert get_settings().delivery_retry_seconds == SCHEDULE
    small_limits(environment)
    environment.setattr(wake, "deliver", lambda: None)
    environment.setattr(dispatch, "log", SILENT)


def explore(tries: int, steps: int) -> None:
    run_state_machine_as_test(
        OutboxMachine,
        settings=settings(
            max_examples=tries,
            stateful_step_count=steps,
            suppress_health_check=QUIET,
            phases=[Phase.generate],
        ),
    )


@pytest.mark.hunt
@pytest.mark.timeout(3600)
def test_no_order_of_events_breaks_a_promise_of_the_outbox(small_outbox: None) -> None:
    explore(tries=examples(6), steps=30)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_long_order_of_events_breaks_a_promise_of_the_outbox(small_outbox: None) -> None:
    explore(tries=150, steps=50)
