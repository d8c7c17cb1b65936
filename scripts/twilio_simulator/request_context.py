"""A request to the API with its authenticated caller."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scripts.twilio_simulator import accounts
from scripts.twilio_simulator.accounts import Account, Principal
from scripts.twilio_simulator.clock import SimulatorClock
from scripts.twilio_simulator.collection import Collection
from scripts.twilio_simulator.configuration import Configuration
from scripts.twilio_simulator.filters import Habits
from scripts.twilio_simulator.http import Request, Response
from scripts.twilio_simulator.wire import Kind


class World(Protocol):
    """What requests look at and change: the simulator."""

    accounts: dict[str, Account]
    clock: SimulatorClock
    configuration: Configuration
    habits: Habits

    def collection(self, account_sid: str, kind: Kind) -> Collection:
        """Return the records of an account."""

    def new_sid(self, prefix: str) -> str:
        """Make a SID."""


@dataclass(frozen=True)
class RequestContext:
    """One request, its caller and the names in its path."""

    simulator: World
    principal: Principal
    request: Request
    names: dict[str, str]

    def account(self) -> Account:
        """Find the account that the path names."""
        return accounts.owned(self.simulator.accounts, self.principal, self.names["account"], self.request.path)


Handler = Callable[[RequestContext], Response]
