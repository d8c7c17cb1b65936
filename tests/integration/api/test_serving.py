"""What only a socket shows: bodies without end, a database that is away, processes that start and stop."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from scripts.local.postgres import Postgres
from scripts.local.processes import free_port
from tests.conftest import API_KEY, forget
from tests.integration.api.conftest import make_app
from tests.integration.api.serving import serving
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

KEY = {"X-API-Key": API_KEY}


@pytest.fixture
def address(database: str) -> Iterator[str]:
    with serving(make_app()) as found:
        yield found


def speak(address: str, *parts: bytes) -> bytes:
    """Send raw bytes, and read until the server closes."""
    parsed = urlsplit(address)
    with socket.create_connection((parsed.hostname or "", parsed.port or 0), timeout=PATIENCE_SECONDS) as connection:
        answer = b""
        with suppress(ConnectionError):  # it closed before it got everything; what it has answered is still there
            for part in parts:
                connection.sendall(part)
        with suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                answer += chunk
        return answer


def head(*lines: str) -> bytes:
    always = ["POST /api/rules HTTP/1.1", "Host: localhost", "Connection: close", f"X-API-Key: {API_KEY}"]
    return ("\r\n".join([*always, *lines]) + "\r\n\r\n").encode()


def test_a_body_that_announces_too_much_is_refused_unread(address: str) -> None:
    answer = speak(address, head("Content-Type: application/json", f"Content-Length: {20 << 20}"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


def test_a_body_without_end_is_cut_off(address: str) -> None:
    chunk = b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n"
    answer = speak(address, head("Content-Type: application/json", "Transfer-Encoding: chunked"), *[chunk] * 20)
    assert answer.startswith(b"HTTP/1.1 413")


def test_an_answer_names_no_server_and_a_head_has_no_body(address: str) -> None:
    answer = httpx.head(f"{address}/api/health/live", timeout=PATIENCE_SECONDS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "server" not in answer.headers


def test_forwarded_addresses_are_not_believed(address: str) -> None:
    with httpx.Client(base_url=address, headers={"X-API-Key": "wrong"}, timeout=PATIENCE_SECONDS) as client:
        for number in range(61):
            client.get("/api/rules", headers={"X-Forwarded-For": f"192.0.2.{number}"})
        assert client.get("/api/rules").status_code == 429


def test_without_a_database_every_call_is_refused_within_seconds(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    forget()
    with serving(make_app()) as address:
        answer = httpx.get(f"{address}/api/logs", headers=KEY, timeout=PATIENCE_SECONDS)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert int(answer.headers["retry-after"]) > 0
        assert httpx.get(f"{address}/api/health/live", timeout=PATIENCE_SECONDS).status_code == 200
        health = httpx.get(f"{address}/api/health", timeout=PATIENCE_SECONDS)
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert httpx.get(f"{address}/metrics", timeout=PATIENCE_SECONDS).status_code == 200


def test_a_database_that_comes_back_is_used_again(postgres: Postgres, database: str, address: str) -> None:
    assert httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS).status_code == 200
    name = database.rpartition("/")[2]
    with postgres.maintenance() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    assert httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS).status_code == 503
    with postgres.maintenance() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    assert httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS).status_code == 200


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("API_KEY", "", "API_KEY"),
        ("API_KEY", "canary", "16 characters"),
        ("SECRET_KEY", "", "SECRET_KEY"),
        ("DATABASE_URL", "mysql://canary", "postgresql://"),
        ("POLL_INTERVAL_SECONDS", "canary", "POLL_INTERVAL_SECONDS"),
    ],
)
def test_an_invalid_setting_stops_the_start_with_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, wanted: str
) -> None:
    from app.api import main  # reads the settings at its import, as servers want it

    environment.setenv(name, value)
    forget()
    with pytest.raises(SystemExit) as stopped:
        main._start()
    said = capsys.readouterr()
    assert (stopped.value.code, said.out, len(said.err.strip().splitlines())) == (2, "", 1)
    assert wanted in said.err
    assert "canary" not in said.err


def test_a_server_with_an_invalid_setting_ends_with_one_line(settings: object) -> None:
    command = [sys.executable, "-m", "uvicorn", "app.api.main:app", "--port", str(free_port())]
    environ = os.environ | {"POLL_INTERVAL_SECONDS": "canary"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 2
    [said] = done.stderr.strip().splitlines()
    assert "POLL_INTERVAL_SECONDS" in said
    assert "canary" not in said + done.stdout


def test_the_server_stops_in_order(database: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app.api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_live(f"http://127.0.0.1:{port}")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def _wait_until_live(address: str) -> None:
    with httpx.Client(base_url=address, timeout=PATIENCE_SECONDS, trust_env=False) as client:

        def lives() -> bool:
            try:
                return client.get("/api/health/live").is_success
            except httpx.TransportError:
                return False

        wait_until(lives, "the API listens")


SERVED = ("-m", "uvicorn", "app.api.main:app", "--port")
SERVED_BY_A_SCRIPT = (
    "-c",
    "import sys, uvicorn; from app.api.main import app; uvicorn.run(app, port=int(sys.argv[1]))",
)


@pytest.mark.parametrize(
    ("start", "options"),
    [(SERVED, ()), (SERVED, ("--workers", "2")), (SERVED, ("--log-level", "trace")), (SERVED_BY_A_SCRIPT, ())],
)
def test_the_access_log_names_routes_and_never_what_was_asked_for(
    database: str, broker: str, start: tuple[str, ...], options: tuple[str, ...]
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, *start, str(port), *options]
    env = os.environ | {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)

    try:
        _wait_until_live(address)
        headers = KEY | {"X-Request-ID": "the-request"}
        limits = httpx.Limits(max_keepalive_connections=0)  # any of its workers may answer
        with httpx.Client(base_url=address, timeout=PATIENCE_SECONDS, trust_env=False, limits=limits) as client:
            client.get("/api/logs?from=%2B14155550100&q=secret", headers=headers)
            client.get("/api/logs/%2B14155550100", headers=headers)
            client.get("/nothing/14155550100")
    finally:
        process.send_signal(signal.SIGTERM)
        written, _ = process.communicate(timeout=PATIENCE_SECONDS)
    lines = [json.loads(line) for line in written.decode().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request" and line["route"] != "/api/health/live"]
    assert [(line["method"], line["route"], line["status"], line["key_name"]) for line in requests] == [
        ("GET", "/api/logs", 200, "API_KEY"),
        ("GET", "/api/logs/{sid}", 422, "API_KEY"),
        ("GET", "unmatched", 404, None),
    ]
    assert requests[0]["request_id"] == "the-request"
    assert requests[0]["duration_ms"] > 0
    assert b"4155550100" not in written
    assert b"secret" not in written
