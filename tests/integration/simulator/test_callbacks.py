"""Callbacks on the wire, judged by the SDK's own validator."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from scripts.twilio_simulator import Simulator, SimulatorClock, SimulatorServer
from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)


@dataclass
class Receiver:
    """A server that remembers what is posted to it, and answers as it is told."""

    server: ThreadingHTTPServer
    answers: list[int] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body, keep_blank_values=True)) for _, _, body in self.seen]

    def signed_by(self, token: str) -> bool:
        """Let the SDK say whether everything that came was signed with this token."""
        validator = RequestValidator(token)
        return all(
            validator.validate(
                self.url + path,
                body if "bodySHA256" in path else dict(parse_qsl(body, keep_blank_values=True)),
                headers["X-Twilio-Signature"],
            )
            for path, headers, body in self.seen
        )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.seen.append((self.path, dict(self.headers), body))
            self.send_response(found.answers.pop(0) if found.answers else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=SimulatorClock(frozen_at=NOW))


def test_a_message_tells_of_every_status_but_its_first(simulator: Simulator, receiver: Receiver) -> None:
    with Callbacks(simulator, Targets(status=receiver.url + "/status")) as callbacks:
        sid = simulator.add_message(status="queued")
        simulator.change(sid, status="sent")
        callbacks.flush()
        simulator.change(sid, status="undelivered", error_code=30007)
        callbacks.flush()
        simulator.change(sid, price="-0.00750")
        callbacks.flush()
    told = [(form["MessageSid"], form["MessageStatus"], form.get("ErrorCode")) for form in receiver.forms()]
    assert told == [(sid, "sent", None), (sid, "undelivered", "30007")]
    assert receiver.signed_by(simulator.account.auth_token)


def test_a_call_counts_its_callbacks(simulator: Simulator, receiver: Receiver) -> None:
    with Callbacks(simulator, Targets(status=receiver.url + "/status")) as callbacks:
        sid = simulator.add_call(status="queued", duration=None)
        for status in ("ringing", "in-progress", "completed"):
            callbacks.flush()
            simulator.change(sid, status=status, duration="61" if status == "completed" else None)
        callbacks.flush()
    told = [(form["SequenceNumber"], form["CallStatus"], form.get("Duration")) for form in receiver.forms()]
    assert told == [("0", "queued", None), ("1", "ringing", None), ("2", "in-progress", None), ("3", "completed", "2")]
    assert receiver.signed_by(simulator.account.auth_token)


def test_half_of_a_surrogate_pair_is_replaced_in_a_form_and_escaped_in_an_event(
    simulator: Simulator, receiver: Receiver
) -> None:
    with Callbacks(simulator, Targets(status=receiver.url + "/status", events=receiver.url + "/events")) as callbacks:
        sid = simulator.add_call(status="queued", duration=None, **{"from": "client:a\ud800"})
        simulator.change(sid, status="busy")
        callbacks.flush()
    forms = [dict(parse_qsl(body)) for path, _, body in receiver.seen if path == "/status"]
    assert {form["From"] for form in forms} == {"client:a?"}
    assert [body for path, _, body in receiver.seen if "/events" in path and "\\ud800" in body]
    assert receiver.signed_by(simulator.account.auth_token)


def test_an_error_of_a_subaccount_is_signed_with_its_own_token(simulator: Simulator, receiver: Receiver) -> None:
    child = simulator.add_account(parent_sid=simulator.account.sid)
    with Callbacks(simulator, Targets(error=receiver.url + "/error?tenant=7")) as callbacks:
        sid = simulator.add_error(account_sid=child.sid, error_code="11200", resource_sid="CA1")
        callbacks.flush()
    (form,) = receiver.forms()
    assert (form["Sid"], form["ParentAccountSid"], form["Level"]) == (sid, simulator.account.sid, "ERROR")
    assert json.loads(form["Payload"])["resource_sid"] == "CA1"
    assert receiver.signed_by(child.auth_token)


def test_events_come_in_an_array_or_alone(simulator: Simulator, receiver: Receiver) -> None:
    targets = Targets(events=receiver.url + "/events")
    with Callbacks(simulator, targets) as callbacks:
        with simulator.lock:
            simulator.add_call(status="in-progress")
            simulator.add_message(status="undelivered", error_code=30003)
            simulator.add_error()
        callbacks.flush()
    events = [event for _, _, body in receiver.seen for event in json.loads(body)]
    assert [event["type"].removeprefix("com.twilio.") for event in events] == [
        "voice.status-callback.call.answered",
        "messaging.message.undelivered",
        "error-logs.error.logged",
    ]
    assert events[1]["data"]["messageStatus"] == "UNDELIVERED"
    with Callbacks(simulator, targets, batch_events=False) as callbacks:
        simulator.add_error()
        callbacks.flush()
    assert json.loads(receiver.seen[-1][2])["specversion"] == "1.0"
    assert receiver.signed_by(simulator.account.auth_token)


def test_a_callback_is_not_repeated_for_a_bad_answer_unless_asked_for(simulator: Simulator, receiver: Receiver) -> None:
    receiver.answers = [500, 500, 500, 200]
    with Callbacks(simulator, Targets(error=receiver.url)) as callbacks:
        simulator.add_error()
        callbacks.flush()
    assert len(receiver.seen) == 1
    with Callbacks(simulator, Targets(error=receiver.url + "/#rc=5&rp=all")) as callbacks:
        simulator.add_error()
        callbacks.flush()
    tokens = [headers["I-Twilio-Idempotency-Token"] for _, headers, _ in receiver.seen[1:]]
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    assert [sent.status for sent in callbacks.sent] == [500, 500, 200]


def test_a_callback_is_tried_twice_where_nobody_listens(simulator: Simulator) -> None:
    with Callbacks(simulator, Targets(error="http://127.0.0.1:9/")) as callbacks:
        simulator.add_error()
        callbacks.flush()
    assert [(sent.attempt, sent.status) for sent in callbacks.sent] == [(0, None), (1, None)]


def test_event_streams_tries_again_but_not_after_a_refusal(simulator: Simulator, receiver: Receiver) -> None:
    receiver.answers = [503, 429, 400]
    with Callbacks(simulator, Targets(events=receiver.url), stream_waits=(0, 0, 0, 0)) as callbacks:
        simulator.add_error()
        callbacks.flush()
    assert [sent.status for sent in callbacks.sent] == [503, 429, 400]
    assert len({body for _, _, body in receiver.seen}) == 1


def test_pushes_go_where_the_sdk_configured_them_to(simulator: Simulator, receiver: Receiver) -> None:
    with SimulatorServer(simulator) as server, Callbacks(simulator) as callbacks:
        client = Client(simulator.account.sid, simulator.account.auth_token)
        client.api.base_url = client.messaging.base_url = client.events.base_url = server.url
        (number,) = client.incoming_phone_numbers.list()
        (service,) = client.messaging.v1.services.list()
        assert number.update(status_callback=receiver.url + "/calls").status_callback == receiver.url + "/calls"
        assert service.update(status_callback=receiver.url + "/messages").sid == service.sid
        sink = client.events.v1.sinks.create(
            description="all", sink_type="webhook", sink_configuration={"destination": receiver.url + "/events"}
        )
        types: list[object] = [{"type": "com.twilio.error-logs.error.logged", "schema_version": 2}]
        subscription = client.events.v1.subscriptions.create(description="all", sink_sid=sink.sid, types=types)
        events = client.events.v1.subscriptions(subscription.sid).subscribed_events.list()
        assert [event.type for event in events] == ["com.twilio.error-logs.error.logged"]
        simulator.add_call(direction="inbound", to=number.phone_number)
        simulator.change(simulator.add_message(messaging_service_sid=service.sid, status="sent"), status="delivered")
        callbacks.flush()
        assert {path.partition("?")[0] for path, _, _ in receiver.seen} == {"/calls", "/messages", "/events"}
        assert subscription.delete()
        assert sink.delete()
        assert client.events.v1.sinks.list() == client.events.v1.subscriptions.list() == []
        receiver.seen.clear()
        simulator.add_error()
        callbacks.flush()
        client.http_client.session.close()
    assert receiver.seen == []
