"""A request to the API with its authenticated caller."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.twilio_simulator import accounts
from scripts.twilio_simulator.accounts import Account, Principal
from scripts.twilio_simulator.http import Request, Response

if TYPE_CHECKING:
    from scripts.twilio_simulator.simulator import Simulator


@dataclass(frozen=True)
class RequestContext:
    """One request, its caller and the names in its path."""

    simulator: "Simulator"
    principal: Principal
    request: Request
    names: dict[str, str]

    def account(self) -> Account:
        """Find the account that the path names."""
        return accounts.owned(self.simulator.accounts, self.principal, self.names["account"], self.request.path)


Handler = Callable[[RequestContext], Response]
