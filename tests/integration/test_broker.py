"""A broker without the database that `REDIS_URL` names: everything that uses the broker names the setting."""

import pytest
from structlog.testing import capture_logs

from app import wake
from app.config import get_settings
from app.services import doctor, health
from app.tasks import worker
from app.utils.clock import utc_now
from tests.conftest import forget


@pytest.fixture(autouse=True)
def missing_database(database: str, broker: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_URL", f"{broker.rpartition('/')[0]}/99")
    forget()


def test_the_doctor_names_the_setting() -> None:
    [found] = [each for each in doctor.examine(get_settings(), utc_now) if each.subject == "broker"]
    assert (found.result, found.detail) == ("wrong", wake.NO_SUCH_DATABASE)


def test_the_health_names_the_setting() -> None:
    found = health.examine(get_settings(), utc_now()).checks["broker"]
    assert found.status == "degraded"
    assert found.detail.startswith(wake.NO_SUCH_DATABASE)


def test_a_worker_names_the_setting_when_it_starts() -> None:
    with capture_logs() as lines:
        worker.prepare(1)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [wake.NO_SUCH_DATABASE]


def test_a_worker_that_reaches_its_broker_says_nothing(broker: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_URL", broker)
    forget()
    with capture_logs() as lines:
        worker.prepare(1)
    assert lines == []
