"""A record's life, told in advance: when it begins, what it becomes, and by whose chance."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Fields, Kind


@dataclass(frozen=True)
class Step:
    """A change that comes so many seconds after the record's beginning."""

    after_seconds: float
    changes: Fields


@dataclass(frozen=True)
class Plan:
    """One record and all that happens to it."""

    kind: Kind
    at: datetime
    fields: Fields
    steps: list[Step] = field(default_factory=list)
    visible_after: float = 0.0

    def moment(self, after_seconds: float) -> datetime:
        """Return the whole second that lies so long after the beginning."""
        return (self.at + timedelta(seconds=after_seconds)).replace(microsecond=0)

    def then(self, after_seconds: float, **changes: Any) -> "Plan":
        """Add a step."""
        self.steps.append(Step(after_seconds, changes))
        return self


class Maker:
    """Chance and sids that depend on nothing but a label, so that a restart makes the same again."""

    def __init__(self, label: str) -> None:
        """Begin anew."""
        self.random = Random(label)  # noqa: S311 - traffic is no secret
        self._label = label
        self._count = 0

    def sid(self, prefix: str) -> str:
        """Make the next sid."""
        self._count += 1
        digest = hashlib.md5(f"{self._label}/{self._count}".encode(), usedforsecurity=False)
        return prefix + digest.hexdigest()

    def seconds(self, least: float, most: float) -> float:
        """Choose a span of time."""
        return self.random.uniform(least, most)

    def chance(self, probability: float) -> bool:
        """Say yes with this probability."""
        return self.random.random() < probability


def carry_out(simulator: Simulator, plan: Plan, account_sid: str) -> None:
    """Let a plan happen: at once what lies before the simulator's now, the rest when its time comes."""

    def begin() -> None:
        if simulator.knows(plan.fields["sid"]):
            return
        fields = plan.fields | {"account_sid": account_sid}
        sid = simulator.add(plan.kind, at=plan.at, visible_after=plan.visible_after, **fields)
        for step in plan.steps:
            simulator.change_at(sid, plan.at + timedelta(seconds=step.after_seconds), step.changes)

    simulator.schedule(plan.at, begin)
