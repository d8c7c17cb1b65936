"""The demo's Twilio: a day of history and traffic with incidents, the same again after a restart."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.traffic import Rates, Traffic


def start(
    simulator: Simulator, state: Path | None = None, history_hours: float = 24.0, rates: Rates | None = None
) -> Traffic:
    """Fill the simulator with history, and let traffic continue.

    Args: state: a file with the time of the demo's first start, so that a restart has the same history.
    """
    traffic = Traffic(simulator, _began_at(simulator, state), rates)
    simulator.traffic = traffic
    traffic.start(timedelta(hours=history_hours))
    return traffic


def _began_at(simulator: Simulator, state: Path | None) -> datetime:
    """Read when the demo first began with this seed, and count this run; store it at the first start."""
    if state and state.exists():
        known = json.loads(state.read_text())
        if known["seed"] == simulator.seed:
            simulator.run = f"/{simulator.clock.now().isoformat()}"
            return datetime.fromisoformat(known["began_at"])
    began_at = simulator.clock.now().replace(microsecond=0)
    if state:
        state.parent.mkdir(parents=True, exist_ok=True)
        draft = state.with_suffix(".new")
        draft.write_text(json.dumps({"seed": simulator.seed, "began_at": began_at.isoformat()}))
        draft.replace(state)
    return began_at
