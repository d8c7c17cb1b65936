"""Answers that no API should give: each costs bounded memory and time, is told by the account's state, and passes."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.database import session_scope
from app.enums import LogType
from app.services.ingest import account_admin, account_state
from tests.conftest import ROOT
from tests.integration.ingest.world import START, World, minutes

MEGABYTE = 1024 * 1024
Answer = tuple[bytes, dict[str, str]]


@contextmanager
def a_server(answer: Callable[[str], Answer]) -> Iterator[str]:
    """Let a server answer every GET with a body and headers; give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, headers = answer(self.path)
            self.send_response(200)
            plain = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            for name, value in (plain | headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def page(*records: Any, next_page_uri: str | None = None) -> bytes:
    return json.dumps({"messages": records, "next_page_uri": next_page_uri}).encode()


@cache
def zipped() -> bytes:
    return gzip.compress(b'{"messages": [' + b" " * (200 * MEGABYTE) + b"]}", 1)


BAD: dict[str, tuple[Callable[[], Answer], str]] = {
    "gzip bomb": (lambda: (zipped(), {"Content-Encoding": "gzip"}), "larger than"),
    "bomb within a bomb": (
        lambda: (gzip.compress(zipped()), {"Content-Encoding": "gzip, gzip"}),
        "unexpected Content-Encoding",
    ),
    "no gzip at all": (lambda: (b"{}", {"Content-Encoding": "gzip"}), "cannot be unpacked"),
    "HTML": (lambda: (b"<!doctype html><p>Maintenance", {"Content-Type": "text/html"}), "not the JSON"),
    "broken JSON": (lambda: (b'{"messages": [{"sid": "SM', {}), "not the JSON"),
    "another list": (lambda: (b'{"calls": []}', {}), "no list of messages"),
    "no list": (lambda: (b'{"messages": {"sid": 1}}', {}), "not the JSON"),
    "millions of records": (lambda: (b'{"messages":[' + b"{}," * (8 * MEGABYTE) + b"{}]}", {}), "more records"),
    "another host": (lambda: (page(next_page_uri="//elsewhere.example.com/x"), {}), "another host"),
    "a circle": (lambda: (page({"sid": "SM1"}, next_page_uri="/2010-04-01/x.json"), {}), "circle"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_answer_is_reported_by_the_state_and_the_rest_continues(world: World, kind: str) -> None:
    answer, said = BAD[kind]
    call = world.simulator.add_call(at=START - minutes(5))
    message = world.simulator.add_message(at=START - minutes(5))
    settings = world.settings
    with a_server(lambda _: answer()) as url:
        world.configured(twilio_api_base_url=url)
        world.poll(LogType.MESSAGE)
        with session_scope() as session:
            account = account_admin.get(session, world.simulator.account.sid)
            shown = account_state.account_json(session, account, world.settings, world.clock.now)
        (state,) = (stream for stream in shown["streams"] if stream["log_type"] == "message")
        assert said in state["last_error"]
        assert state["complete_until"] is None
    world.settings = settings
    world.advance(minutes=1)
    world.poll()
    assert set(world.logs()) == {call, message}
    assert world.stream(LogType.MESSAGE).failures == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gzip bomb", "millions of records"])
def test_a_bad_answer_costs_bounded_memory(world: World, kind: str, environment: pytest.MonkeyPatch) -> None:
    """Measured in a process of its own, beside one that meets a good answer."""

    def peak(url: str) -> float:
        environment.setenv("TWILIO_API_BASE_URL", url)
        process = subprocess.Popen(
            [sys.executable, "-c", POLL], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        return usage.ru_maxrss / 1024

    with a_server(lambda _: BAD[kind][0]()) as url:
        assert peak(url) - peak(world.server.url) < 200


POLL = """
import sys, time
from app.config import get_settings
from app.database import session_scope
from app.models import Stream
from app.services.ingest import accounts, polling
from app.utils.clock import utc_now
from sqlalchemy import select, update
settings = get_settings()
with session_scope() as session:
    accounts.ensure_environment_account(session, settings, utc_now())
    session.execute(update(Stream).values(due_at=utc_now()))
    stream = session.scalar(select(Stream.id).where(Stream.log_type == "message"))
polling.poll(stream, settings, sleep=lambda _: None)
"""
