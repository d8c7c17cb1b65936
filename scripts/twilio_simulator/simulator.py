"""The simulator's state: accounts, records, a clock, and scheduled events."""

import hashlib
import heapq
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from scripts.twilio_simulator import api, faults, wire
from scripts.twilio_simulator.accounts import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, Account, AccountStatus, ApiKey, KeyKind
from scripts.twilio_simulator.clock import SimulatorClock
from scripts.twilio_simulator.collection import Collection
from scripts.twilio_simulator.configuration import Configuration
from scripts.twilio_simulator.errors import too_many_requests
from scripts.twilio_simulator.faults import Faults
from scripts.twilio_simulator.filters import Habits
from scripts.twilio_simulator.http import Request, Response
from scripts.twilio_simulator.records import Emitted, EncodedMessage, Record
from scripts.twilio_simulator.wire import Kind

Seconds = timedelta | float
MAKE = {Kind.CALL: wire.call, Kind.MESSAGE: wire.message, Kind.ERROR: wire.error}


@dataclass(frozen=True)
class SeenRequest:
    """A request that was answered."""

    at: datetime
    method: str
    target: str
    user: str | None
    status: int


class Traffic(Protocol):
    """The interface of traffic for the control API."""

    def begin(self, scenario: str) -> int:
        """Start an incident now; return its number of records."""

    def set_rates(self, **rates: float) -> None:
        """Change the amount of traffic."""


class Simulator:
    """A simulated Twilio. All methods are thread-safe."""

    def __init__(
        self,
        seed: int = 1,
        clock: SimulatorClock | None = None,
        account_sid: str = DEMO_ACCOUNT_SID,
        auth_token: str = DEMO_AUTH_TOKEN,
    ) -> None:
        """Start with one account and no records."""
        self.seed = seed
        self.clock = clock or SimulatorClock()
        self.habits = Habits()
        self.faults = Faults()
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.requests: deque[SeenRequest] = deque(maxlen=100_000)
        self.concurrency_limit: int | None = None
        """The most concurrent requests; further ones get a 429."""
        self.in_flight = 0
        self.listeners: list[Callable[[Record], None]] = []
        """Called with each record that is added or changed."""
        self.configuration = Configuration()
        self.traffic: Traffic | None = None
        """Generates records, if set."""
        self._collections: dict[tuple[str, Kind], Collection] = {}
        self._records: dict[str, Record] = {}
        self._numbers = 0
        self.run = ""
        """Identifies a run that continues an earlier one's history: SIDs of manual records must differ between them."""
        self._sids: Counter[str] = Counter()
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self.account = self.add_account(account_sid, auth_token)
        self.configuration.add_number(account_sid, "PN00000000000000000000000000000001", "+14155550123")
        self.configuration.add_service(account_sid, "MG00000000000000000000000000000001", "ACME")

    # Accounts

    def add_account(self, sid: str | None = None, auth_token: str | None = None, **properties: Any) -> Account:
        """Add an account; with `parent_sid`, a subaccount. Other properties are those of `Account`."""
        with self.lock:
            properties.setdefault("created_at", self.clock.now() - timedelta(days=100))
            account = Account(sid or self.new_sid("AC"), auth_token or self.new_sid("")[:32], **properties)
            self.accounts[account.sid] = account
            return account

    def add_key(
        self,
        account_sid: str | None = None,
        kind: KeyKind = KeyKind.STANDARD,
        permissions: frozenset[str] = frozenset(),
    ) -> ApiKey:
        """Add an API key to an account."""
        with self.lock:
            key = ApiKey(self.new_sid("SK"), self.new_sid("")[:32], kind, permissions)
            self.accounts[account_sid or self.account.sid].keys[key.sid] = key
            return key

    def set_account(self, account_sid: str | None = None, **properties: Any) -> Account:
        """Change an account: `status`, `auth_token`, `refuse_credentials`, `friendly_name`."""
        with self.lock:
            account = self.accounts[account_sid or self.account.sid]
            if "status" in properties:
                properties["status"] = AccountStatus(properties["status"])
            for name, value in properties.items():
                if not hasattr(account, name):
                    raise AttributeError(f"An account has no property {name}")
                setattr(account, name, value)
            return account

    # Records

    def add_call(self, **fields: Any) -> str:
        """Add a call: see `add`."""
        return self.add(Kind.CALL, **fields)

    def add_message(self, **fields: Any) -> str:
        """Add a message: see `add`."""
        return self.add(Kind.MESSAGE, **fields)

    def add_error(self, **fields: Any) -> str:
        """Add an entry of the error log: see `add`."""
        return self.add(Kind.ERROR, **fields)

    def add(
        self,
        kind: Kind,
        *,
        at: datetime | None = None,
        visible_after: Seconds = 0,
        odd: bytes | None = None,
        **fields: Any,
    ) -> str:
        """Add one record.

        Args:
            at: when it is created, and the default of its times; now, unless its `date_created` differs.
            visible_after: how long after `at` lists show it; a read by its SID finds it immediately.
            odd: bytes that lists and single reads show instead of the record.
            fields: by their wire names (`from_` for `from`), with `account_sid` and `sid`; times as aware datetimes.
        Returns: its SID.
        """
        with self.lock:
            named = _named(fields)
            moment = at or named.get("date_created")
            created_at = moment if isinstance(moment, datetime) else self.clock.now()
            sid = named.pop("sid", None) or self.new_sid(kind.prefix)
            account_sid = named.pop("account_sid", None) or self.account.sid
            whole = MAKE[kind](account_sid, sid, created_at.replace(microsecond=0)) | _derived(kind, named) | named
            delay = visible_after if isinstance(visible_after, timedelta) else timedelta(seconds=visible_after)
            self._keep(Record(kind, whole, created_at, created_at + delay, odd))
            return sid

    def add_encoded(self, messages: list[EncodedMessage]) -> None:
        """Add many messages of one account at once, without calling listeners."""
        with self.lock:
            for message in messages:
                self._numbers += 1
                message.number = self._numbers
                self._records[message.sid] = message
            if messages:
                self.collection(messages[0].account_sid, Kind.MESSAGE).add_many(list(messages))

    def change(self, sid: str, at: datetime | None = None, **fields: Any) -> None:
        """Change fields of a record now or later, and its `date_updated` unless that is given."""
        with self.lock:
            if sid not in self._records:
                raise KeyError(sid)
            self.change_at(sid, at or self.clock.now(), _named(fields))

    def change_at(self, sid: str, at: datetime, fields: Mapping[str, Any]) -> None:
        """Change fields by their wire names when the clock reaches a time."""
        with self.lock:
            if at > self.clock.now():
                self.schedule(at, lambda: self._change(sid, at, fields))
            else:
                self._change(sid, at, fields)

    def remove(self, sid: str) -> None:
        """Delete a record: lists omit it, and a read by its SID gets a 404."""
        with self.lock:
            self._records[sid].removed = True

    def knows(self, sid: str) -> bool:
        """Return whether there is or was such a record."""
        return sid in self._records

    def forget(self, before: datetime) -> None:
        """Drop records created before a time, as Twilio does after its retention."""
        with self.lock:
            for record in [record for record in self._records.values() if record.created_at < before]:
                del self._records[record.sid]
                self.collection(record.account_sid, record.kind).drop(record)

    def record(self, sid: str) -> Emitted:
        """Describe one record in its current state.

        Raises: KeyError: there is none.
        """
        with self.lock:
            self.settle()
            return self._records[sid].emitted()

    def emitted(self) -> list[Emitted]:
        """Describe all records in their current state, in order of addition, including those that lists do not show
        yet.
        """
        with self.lock:
            self.settle()
            return [record.emitted() for record in self._records.values()]

    def counts(self) -> dict[str, int]:
        """Count records by log type."""
        with self.lock:
            kinds = Counter(record.kind for record in self._records.values())
        return {kind.log_type: kinds[kind] for kind in Kind}

    # Time

    def schedule(self, at: datetime, action: Callable[[], None]) -> None:
        """Run an action when the clock reaches a time."""
        with self.lock:
            self._numbers += 1
            heapq.heappush(self._due, (at, self._numbers, action))

    def settle(self) -> None:
        """Run all due actions in order."""
        with self.lock:
            now = self.clock.now()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    # Requests

    def handle(self, request: Request) -> Response:
        """Answer one request as the server would."""
        with self.lock:
            self.settle()
            response = self._answer(request)
            user = request.credentials[0] if request.credentials else None
            self.requests.append(SeenRequest(self.clock.now(), request.method, request.target, user, response.status))
            extra_headers = {
                "Twilio-Request-Id": self.new_sid("RQ"),
                "Twilio-Concurrent-Requests": str(max(1, self.in_flight)),
                "Twilio-Request-Duration": "0.010",
            }
            return replace(response, headers={**response.headers, **extra_headers})

    def _answer(self, request: Request) -> Response:
        if self.concurrency_limit is not None and self.in_flight > self.concurrency_limit:
            return too_many_requests().response()
        fault = self.faults.take(request)
        if fault is None:
            return api.answer(self, request)
        return faults.answer(fault, request, lambda asked: api.answer(self, asked))

    def request_counts(self) -> Counter[str]:
        """Count the requests by path."""
        with self.lock:
            return Counter(seen.target.partition("?")[0] for seen in self.requests)

    # Used by modules of the simulator

    def collection(self, account_sid: str, kind: Kind) -> Collection:
        """Return the records of one kind of an account."""
        return self._collections.setdefault((account_sid, kind), Collection())

    def new_sid(self, prefix: str) -> str:
        """Create a SID that depends only on the seed, the run, and the number of earlier ones of its kind."""
        self._sids[prefix] += 1
        label = f"{self.seed}{self.run}/{prefix}/{self._sids[prefix]}"
        digest = hashlib.md5(label.encode(), usedforsecurity=False)
        return prefix + digest.hexdigest()

    def _keep(self, record: Record) -> None:
        if record.sid in self._records:
            raise ValueError(f"There is already a record {record.sid}")
        self._numbers += 1
        record.number = self._numbers
        self._records[record.sid] = record
        self.collection(record.account_sid, record.kind).add(record)
        self._notify_listeners(record)

    def _change(self, sid: str, at: datetime, fields: Mapping[str, Any]) -> None:
        record = self._records.get(sid)
        if record is None:  # It was dropped before this happened.
            return
        old_key = record.sort_key()
        record.change(at, fields)
        self.collection(record.account_sid, record.kind).move(record, old_key)
        self._notify_listeners(record)

    def _notify_listeners(self, record: Record) -> None:
        for listener in self.listeners:
            listener(record)


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `from_` into `from`, which is a Python keyword, and drop fractions of seconds."""
    named = {"from" if name == "from_" else name: value for name, value in fields.items()}
    return {
        name: value.replace(microsecond=0) if isinstance(value, datetime) else value for name, value in named.items()
    }


def _derived(kind: Kind, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields that follow from the given ones, unless they are given, too."""
    derived: dict[str, Any] = {}
    if kind is Kind.CALL:
        derived = {
            f"{name}_formatted": wire.formatted(fields[name])
            for name in ("from", "to")
            if isinstance(fields.get(name), str)
        }
    elif kind is Kind.ERROR:
        code, level = str(fields.get("error_code", "11200")), str(fields.get("log_level", "error"))
        derived["alert_text"] = wire.alert_text(code, level, fields.get("request_url"), None)
        derived["more_info"] = f"https://www.twilio.com/docs/errors/{code}"
    return derived
