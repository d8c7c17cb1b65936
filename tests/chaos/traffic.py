"""Random logs: some become visible late, most messages change some time after they were sent."""

from datetime import timedelta
from random import Random

from scripts.twilio_simulator import Simulator

NUMBERS = tuple(
    f"{prefix}{number}" for prefix in ("+447700900", "+4915123456", "+3361234567") for number in range(123, 128)
)
CODES = (30003, 30003, 30005, 30007)
MAX_DELAY_SECONDS = 8.0
"""Nothing becomes visible later than this, or changes later than twice this."""


def happen(simulator: Simulator, rng: Random) -> None:
    """Create one random event."""
    roll = rng.random()
    late = rng.uniform(0, MAX_DELAY_SECONDS) if rng.random() < 0.2 else 0
    if roll < 0.7:
        _message(simulator, rng, late)
    elif roll < 0.9:
        _call(simulator, rng, late)
    else:
        text = rng.choice(("connection timeout", "bad gateway"))
        simulator.add_error(error_code="11200", alert_text=text, visible_after=late)


def _message(simulator: Simulator, rng: Random, late: float) -> None:
    body = rng.choice(("Your parcel is on its way", "Your code is 1234", "See you at nine"))
    sid = simulator.add_message(status="sent", to=rng.choice(NUMBERS), body=body, visible_after=late)
    at = simulator.clock.now() + timedelta(seconds=rng.uniform(0, MAX_DELAY_SECONDS))
    if rng.random() < 0.4:
        simulator.change(sid, at=at, status=rng.choice(("undelivered", "failed")), error_code=rng.choice(CODES))
    elif rng.random() < 0.9:
        simulator.change(sid, at=at, status="delivered")


def _call(simulator: Simulator, rng: Random, late: float) -> None:
    failed = rng.random() < 0.5
    sid = simulator.add_call(status="failed" if failed else "completed", to=rng.choice(NUMBERS), visible_after=late)
    if failed:
        simulator.add_error(
            resource_sid=sid, error_code="32011", alert_text="SIP host", visible_after=rng.uniform(0, 5)
        )
