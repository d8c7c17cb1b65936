"""A simulated Twilio for the demo, development and tests. It imports nothing from GiftPulse.

In a test, in this process::

    simulator = Simulator(seed=1, clock=SimulatorClock(frozen_at=datetime(2026, 3, 3, 9, tzinfo=UTC)))
    call = simulator.add_call(status="failed", to="+447700900123")              # fields by wire name; from_ for from
    simulator.add_error(resource_sid=call, error_code="30003")                  # log_level "error" by default
    text = simulator.add_message(status="sent", visible_after=3600)             # lists show it an hour late
    simulator.change(text, status="undelivered", error_code=30003)              # now, date_updated included
    simulator.change(text, at=later, price="-0.0075")                           # when the clock reaches it
    simulator.add_message(odd=b'{"sid": 7}')                                    # raw bytes
    simulator.remove(text)                                                      # 404 from now on
    simulator.clock.advance(timedelta(days=3))                                  # freeze, resume, set, advance
    simulator.emitted()                                                         # everything, record by record
    simulator.request_counts()                                                  # Counter by path; .requests: one by one
    simulator.habits.date_filters = DateFilters.EXACT                           # undocumented by Twilio
    child = simulator.add_account(parent_sid=simulator.account.sid)             # .sid, .auth_token
    key = simulator.add_key(kind=KeyKind.STANDARD)                              # .sid, .secret
    simulator.set_account(status="suspended", refuse_credentials=True)

    simulator.faults.add("rate_limited", times=3, path="Messages.json", retry_after_seconds=2)   # see FaultKind, Fault
    simulator.faults.at_random(0.2, seed=4, kinds=["reset", "cut_body"])        # until simulator.faults.clear()
    simulator.concurrency_limit = 2                                             # 429 beyond

    with SimulatorServer(simulator) as server:                                  # a thread; port 0 is any free one
        server.url                                                              # of both hosts, api and monitor

`simulator.account` is the first account; `simulator.account.sid` and `.auth_token` sign in.

Callbacks: `with Callbacks(simulator, Targets(status=url, error=url, events=url)) as callbacks:` sends signed callbacks
from then on; `callbacks.flush()` waits for them. Without targets they go to the URLs of the account's numbers (calls),
messaging services and Event Streams sinks, which the API reads and writes, too.

`add_messages(simulator, 200_000)` is for benchmarks: messages encoded in advance.

Traffic with incidents: `demo.start(simulator)`, then `simulator.traffic.begin("carrier_filtering")`; `SCENARIOS` has
the names. As a process: `python -m scripts.twilio_simulator --port 9000 --state FILE`, which prints one line when it is
ready; it has the same operations under `/_simulator/` (`control.py` lists the paths).
"""

from scripts.twilio_simulator.accounts import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, Account, AccountStatus, ApiKey, KeyKind
from scripts.twilio_simulator.bulk import add_messages
from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.clock import SimulatorClock
from scripts.twilio_simulator.configuration import Targets
from scripts.twilio_simulator.faults import Fault, FaultKind
from scripts.twilio_simulator.filters import DateFilters, Habits
from scripts.twilio_simulator.http import Request, Response
from scripts.twilio_simulator.records import Emitted, Version
from scripts.twilio_simulator.server import SimulatorServer
from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Kind

__all__ = [
    "DEMO_ACCOUNT_SID",
    "DEMO_AUTH_TOKEN",
    "Account",
    "AccountStatus",
    "ApiKey",
    "Callbacks",
    "DateFilters",
    "Emitted",
    "Fault",
    "FaultKind",
    "Habits",
    "KeyKind",
    "Kind",
    "Request",
    "Response",
    "Simulator",
    "SimulatorClock",
    "SimulatorServer",
    "Targets",
    "Version",
    "add_messages",
]
