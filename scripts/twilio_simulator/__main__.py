"""`python -m scripts.twilio_simulator`: the simulator as a process, with a day of history and traffic."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from scripts.twilio_simulator import demo
from scripts.twilio_simulator.accounts import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN
from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from scripts.twilio_simulator.server import SimulatorServer
from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.traffic import Rates


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.twilio_simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0: any that is free (default: 9000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same traffic (default: 1)")
    parser.add_argument("--account-sid", default=DEMO_ACCOUNT_SID)
    parser.add_argument("--auth-token", default=DEMO_AUTH_TOKEN)
    parser.add_argument("--state", type=Path, help="file that lets a restart go on with the same history")
    parser.add_argument("--history-hours", type=float, default=24.0, help="what was there before (default: 24)")
    parser.add_argument("--messages-per-minute", type=float, default=Rates.messages_per_minute)
    parser.add_argument("--calls-per-minute", type=float, default=Rates.calls_per_minute)
    parser.add_argument("--status-callback", default="", metavar="URL", help="where callbacks of messages and calls go")
    parser.add_argument("--error-webhook", default="", metavar="URL", help="where the Debugger posts")
    parser.add_argument("--event-sink", default="", metavar="URL", help="where Event Streams posts")
    parser.add_argument("--no-traffic", action="store_true", help="begin empty, and stay so until told otherwise")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal arrives; print one line when requests are answered."""
    given = _parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    simulator = Simulator(given.seed, account_sid=given.account_sid, auth_token=given.auth_token)
    if not given.no_traffic:
        rates = Rates(given.messages_per_minute, given.calls_per_minute)
        demo.start(simulator, given.state, given.history_hours, rates)
    try:
        urls = (given.status_callback, given.error_webhook, given.event_sink)
        targets = Targets(*urls) if any(urls) else None
        with SimulatorServer(simulator, given.port, given.host) as server, Callbacks(simulator, targets):
            print(f"Twilio simulator ready at {server.url} for account {given.account_sid}", flush=True)
            stopped.wait()
    except OSError as error:
        print(f"The simulator cannot listen on {given.host}:{given.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
