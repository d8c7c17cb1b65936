"""Sends signed callbacks to the customer's URLs, with Twilio's retry policies."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from scripts.twilio_simulator import pushes
from scripts.twilio_simulator.configuration import Targets
from scripts.twilio_simulator.pushes import Form
from scripts.twilio_simulator.records import Record
from scripts.twilio_simulator.signatures import called, sign, with_body_hash
from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Kind

STREAM_WAITS = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Delays of Event Streams' retries in seconds; together about four hours."""
MAX_CONCURRENT = 8


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is retried, and after which failures."""

    retries: int = 1
    retried: frozenset[str] = frozenset({"ct"})
    """Of `ct` (no connection), `rt` (no response in time), `4xx`, `5xx`."""
    connect_seconds: float = 5.0
    total_seconds: float = 15.0

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse the overrides in the fragment of a URL."""
        given = {name: values[-1] for name, values in parse_qs(urlsplit(url).fragment).items()}
        retried = set(given.get("rp", "ct").split(","))
        return cls(
            retries=min(5, int(given.get("rc", "1"))),
            retried=frozenset({"ct", "rt", "4xx", "5xx"} if "all" in retried else retried),
            connect_seconds=int(given.get("ct", "5000")) / 1000,
            total_seconds=int(given.get("tt", "15000")) / 1000,
        )


@dataclass(frozen=True)
class Sent:
    """One attempt to send a callback."""

    url: str
    sid: str
    """The SID of the record, or of the first one of a batch."""
    attempt: int
    status: int | None
    """None if there was no response."""


class Callbacks:
    """Sends callbacks about a simulator's records: `with Callbacks(simulator, targets): ...`."""

    def __init__(
        self,
        simulator: Simulator,
        targets: Targets | None = None,
        repeat: int = 1,
        batch_events: bool = True,
        stream_waits: tuple[float, ...] = STREAM_WAITS,
    ) -> None:
        """Prepare.

        Args:
            targets: the URLs; by default those of the accounts' numbers, services and sinks.
            repeat: how often each callback is sent, as at-least-once delivery may.
            batch_events: whether events are sent as an array; otherwise each is a separate object.
        """
        self.simulator, self.targets, self.repeat = simulator, targets, repeat
        self.batch_events, self.stream_waits = batch_events, stream_waits
        self.sent: list[Sent] = []
        self._pool = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="twilio-callbacks")
        self._client = httpx.Client(trust_env=False, follow_redirects=False)
        self._futures: set[Future[None]] = set()
        self._closed = threading.Event()
        self._events: dict[tuple[str, str], list[dict[str, object]]] = {}

    def __enter__(self) -> Self:
        """Start listening."""
        self.simulator.listeners.append(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; pending retries are dropped."""
        self.simulator.listeners.remove(self._heard)
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until all callbacks were sent or given up."""
        self.simulator.settle()
        while futures := list(self._futures):
            for future in futures:
                future.result(timeout_seconds)

    def _heard(self, record: Record) -> None:
        """Send callbacks about the newest version of a record. The caller holds the simulator's lock."""
        version, number = record.versions[-1], len(record.versions) - 1
        unchanged = number > 0 and record.versions[-2].status == version.status
        if record.odd is not None or unchanged:
            return
        targets = self.targets or self.simulator.configuration.targets(record)
        if form := self._form(record, number, version.at):
            url = targets.error if record.kind is Kind.ERROR else targets.status
            for _ in range(self.repeat if url else 0):
                self._start(self._post_form, url, record.account_sid, record.sid, form)
        if targets.events:
            self._collect((record.account_sid, targets.events), pushes.event(record, version.at, number))

    def _form(self, record: Record, number: int, at: datetime) -> Form | None:
        """Build the callback for a version; None if Twilio sends none."""
        if record.kind is Kind.ERROR:
            return pushes.error_webhook(record, self.simulator.accounts[record.account_sid].parent_sid)
        if record.kind is Kind.CALL:
            return pushes.call_callback(record, number, at)
        first_or_inbound = number == 0 or record.fields["direction"] == "inbound"
        return None if first_or_inbound else pushes.message_callback(record)

    def _collect(self, where: tuple[str, str], event: dict[str, object]) -> None:
        """Add an event to the pending batch for an account and URL."""
        waiting = self._events.setdefault(where, [])
        waiting.append(event)
        if len(waiting) == 1:
            self._start(self._post_events, where)

    def _start(self, job: Callable[..., None], *arguments: object) -> None:
        future = self._pool.submit(job, *arguments)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def _post_form(self, url: str, account_sid: str, sid: str, form: Form) -> None:
        # A form cannot hold half of a surrogate pair.
        form = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
        headers = self._headers(sign(self._token(account_sid), url, form.items()), "application/x-www-form-urlencoded")
        retry_policy, body = RetryPolicy.of(url), urlencode(form).encode()
        for attempt in range(retry_policy.retries + 1):
            answer = self._post(url, headers, body, retry_policy)
            self.sent.append(Sent(called(url), sid, attempt, answer if isinstance(answer, int) else None))
            if _failure(answer) not in retry_policy.retried:
                return

    def _post_events(self, where: tuple[str, str]) -> None:
        with self.simulator.lock:  # Changes hold this lock, so events that happen together are sent together.
            events = self._events.pop(where)
        for body in self._bodies(events * self.repeat):
            self._post_body(*where, str(events[0]["source"]), body)

    def _bodies(self, events: list[dict[str, object]]) -> Iterator[bytes]:
        if self.batch_events:
            yield json.dumps(events).encode()
        else:
            yield from (json.dumps(event).encode() for event in events)

    def _post_body(self, account_sid: str, address: str, sid: str, body: bytes) -> None:
        url = with_body_hash(called(address), body)
        headers = self._headers(sign(self._token(account_sid), url), "application/json")
        for attempt, wait in enumerate((*self.stream_waits, None)):
            answer = self._post(url, headers, body, RetryPolicy(total_seconds=5.0))
            self.sent.append(Sent(url, sid, attempt, answer if isinstance(answer, int) else None))
            final = answer != 429 and _failure(answer) in (None, "4xx")
            if final or wait is None or self._closed.wait(wait):
                return

    def _headers(self, signature: str, content_type: str) -> dict[str, str]:
        with self.simulator.lock:
            token = self.simulator.new_sid("")
        return {
            "X-Twilio-Signature": signature,
            "I-Twilio-Idempotency-Token": token,
            "Content-Type": content_type,
            "User-Agent": "TwilioProxy/1.1",
        }

    def _token(self, account_sid: str) -> str:
        return self.simulator.accounts[account_sid].auth_token

    def _post(self, url: str, headers: Mapping[str, str], body: bytes, retry_policy: RetryPolicy) -> int | str:
        """Try once; return the status, or `ct` or `rt` if there was no connection or no response."""
        timeout = httpx.Timeout(retry_policy.total_seconds, connect=retry_policy.connect_seconds)
        try:
            return self._client.post(called(url), headers=headers, content=body, timeout=timeout).status_code
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return "ct"
        except httpx.HTTPError:
            return "rt"


def _failure(answer: int | str) -> str | None:
    """Return the failure in the terms of the overrides, or None."""
    if isinstance(answer, str):
        return answer
    return f"{answer // 100}xx" if answer >= 400 else None
