"""The life of a record, planned in advance: its start, its changes, and its source of chance."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Fields, Kind


@dataclass(frozen=True)
class Step:
    """A change a number of seconds after the record's start."""

    after_seconds: float
    changes: Fields


@dataclass(frozen=True)
class Plan:
    """A record and all its changes."""

    kind: Kind
    at: datetime
    fields: Fields
    steps: list[Step] = field(default_factory=list)
    visible_after: float = 0.0

    def moment(self, after_seconds: float) -> datetime:
        """Return the full second at this offset from the start."""
        return (self.at + timedelta(seconds=after_seconds)).replace(microsecond=0)

    def then(self, after_seconds: float, **changes: Any) -> "Plan":
        """Add a step."""
        self.steps.append(Step(after_seconds, changes))
        return self


class Maker:
    """Chance and SIDs that depend only on a label, so that a restart reproduces them."""

    def __init__(self, label: str) -> None:
        self.random = Random(label)  # noqa: S311 - traffic is no secret
        self._label = label
        self._count = 0

    def sid(self, prefix: str) -> str:
        """Create the next SID."""
        self._count += 1
        digest = hashlib.md5(f"{self._label}/{self._count}".encode(), usedforsecurity=False)
        return prefix + digest.hexdigest()

    def seconds(self, least: float, most: float) -> float:
        """Choose a duration."""
        return self.random.uniform(least, most)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability


def carry_out(simulator: Simulator, plan: Plan, account_sid: str) -> None:
    """Run a plan: past steps immediately, the others when they are due."""

    def begin() -> None:
        if simulator.knows(plan.fields["sid"]):
            return
        fields = plan.fields | {"account_sid": account_sid}
        sid = simulator.add(plan.kind, at=plan.at, visible_after=plan.visible_after, **fields)
        for step in plan.steps:
            simulator.change_at(sid, plan.at + timedelta(seconds=step.after_seconds), step.changes)

    simulator.schedule(plan.at, begin)
