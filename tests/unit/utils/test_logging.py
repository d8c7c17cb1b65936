"""Logs: one line an event, for machines or people, without secrets."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from app.utils.logging import configure_logging

CANARY = "canary-that-nobody-may-see"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    access = logging.getLogger("uvicorn.access")
    disabled = access.disabled
    yield
    access.disabled = disabled


@pytest.mark.parametrize("_", [1, 2])
def test_no_later_test_writes_to_the_output_of_an_earlier_one(capsys: pytest.CaptureFixture[str], _: int) -> None:
    logging.getLogger("mail.log").warning("a line of a server in a thread")
    assert "Logging error" not in capsys.readouterr().err
    configure_logging("INFO", "json")


def test_each_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("app.x").warning("poll failed", stream_id=7)
    logging.getLogger("a.library").error("in two\nlines %s", "and values")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["logger"], first["stream_id"]) == (
        "poll failed",
        "warning",
        "app.x",
        7,
    )
    assert second["event"] == "in two\nlines and values"
    assert first["timestamp"].endswith("Z")


def test_an_exception_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_lines_below_the_level_are_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "console")
    structlog.get_logger().info("quiet")
    logging.getLogger("x").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_gets_through(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure_logging("INFO", style)
    log = structlog.get_logger()
    log.info("x", auth_token=CANARY, api_key=CANARY, url=f"redis://:{CANARY}@host:6379/0")
    log.info(f"cannot reach https://user:{CANARY}@host/ with whsec_{CANARY.replace('-', '')}")
    try:
        raise ValueError(f"amqp://guest:{CANARY}@host")
    except ValueError:
        log.exception("it failed")
    logging.getLogger("a.library").warning("postgresql://me:%s@host/db", CANARY)
    written = capsys.readouterr().err
    assert CANARY not in written
    assert "host" in written


def test_requests_are_not_repeated_by_the_client_library(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logging.getLogger("httpx").info("HTTP Request: GET https://hooks.example.com/secret-path")
    assert capsys.readouterr().err == ""


def test_the_servers_own_lines_are_written_like_ours_and_its_access_log_is_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).handlers = [logging.StreamHandler()]
        logging.getLogger(name).setLevel("INFO")
    logging.getLogger("uvicorn.error").setLevel("INFO")
    configure_logging("INFO", "json")
    logging.getLogger("uvicorn.error").info("Application startup complete.")
    logging.getLogger("uvicorn.access").info('127.0.0.1 - "GET /api/logs?from=+14155550100 HTTP/1.1" 200')
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "Application startup complete."
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_each_failed_request_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    for request in ("a", "b", "c"):
        structlog.get_logger("app.api.problems").error("a request failed", request_id=request, error="OverflowError")
        structlog.get_logger("app.api.problems").warning("the database does not answer", request_id=request)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines if line["level"] == "error"] == ["a", "b", "c"]
    assert [line["request_id"] for line in lines if line["level"] == "warning"] == ["a"]


def test_repeated_errors_during_an_outage_are_one_line_per_minute(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    for attempt in range(5):
        try:
            raise ConnectionError("no broker")
        except ConnectionError:
            logging.getLogger("celery.beat").exception("Message Error: %s\n%s", attempt, "a stack")
        structlog.get_logger("app.services.ingest.polling").warning("poll failed", account_sid="AC1", log_type="call")
    structlog.get_logger("app.services.ingest.polling").warning("poll failed", account_sid="AC2", log_type="call")
    structlog.get_logger("app.services.ingest.polling").info("logs read", account_sid="AC1", log_type="call")
    structlog.get_logger("app.services.ingest.polling").info("logs read", account_sid="AC1", log_type="call")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "Message Error: 0",
        "poll failed",
        "poll failed",
        "logs read",
        "logs read",
    ]
    assert "exception" not in lines[0]


def test_what_a_logger_says_in_a_later_test_is_captured_there() -> None:
    logger, before = structlog.get_logger(), structlog.get_config()
    configure_logging("INFO", "json")
    logger.info("said in one test")
    structlog.configure(**before)
    with capture_logs() as lines:
        logger.info("said in another")
    assert [line["event"] for line in lines] == ["said in another"]
