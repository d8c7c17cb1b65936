"""Kinds of suspicious traffic, with words, advice and a rule for each. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from math import ceil

from app.enums import LogType, Severity
from app.services.fraud.prefixes import HIGH_COST
from app.services.fraud.queries import SHORT_SECONDS
from app.services.logs.outbound import OUTBOUND
from app.utils.countries import NO_COUNTRY, country
from app.utils.json_types import JsonObject
from app.utils.quantities import counted
from app.utils.redact import HIDDEN

SHOWN_DIGITS = 5
ABOVE_USUAL = 3
"""The limit of a rule is this many times the highest usual hour."""
LEAST_IN_RULE = 10
LEAST_IN_SPIKE: Mapping[LogType, int] = {LogType.MESSAGE: 20, LogType.CALL: 10}
"""Fewer in an hour are no spike: at most as many as a surge has."""
LEAST_AMOUNT = 10.0
"""In the currency of the account. Smaller amounts are no surge and no limit of a rule."""


class Kind(StrEnum):
    """The kinds of suspicious traffic."""

    NEW_COUNTRY = "new_country"
    COUNTRY_SURGE = "country_surge"
    CONSECUTIVE_NUMBERS = "consecutive_numbers"
    SPEND_SURGE = "spend_surge"
    HIGH_COST_PREFIX = "high_cost_prefix"
    SHORT_CALLS = "short_calls"


TITLES = {
    Kind.NEW_COUNTRY: "New country",
    Kind.COUNTRY_SURGE: "More than usual",
    Kind.CONSECUTIVE_NUMBERS: "Consecutive numbers",
    Kind.SPEND_SURGE: "Costs more than usual",
    Kind.HIGH_COST_PREFIX: "High-cost prefix",
    Kind.SHORT_CALLS: "Short calls",
}
RULE_NAMES = {
    Kind.NEW_COUNTRY: "Burst of {logs}",
    Kind.COUNTRY_SURGE: "Surge of {logs}",
    Kind.CONSECUTIVE_NUMBERS: "Burst of {logs}",
    Kind.SPEND_SURGE: "Spend on {logs}",
    Kind.HIGH_COST_PREFIX: "High-cost {logs}",
    Kind.SHORT_CALLS: "Burst of short {logs}",
}
MESSAGE_ADVICE = (
    "Disable the country in Twilio's Messaging geographic permissions if you have no customers there; turn on Fraud "
    "Guard for Verify; limit how many codes a number, address or session may ask for."
)
CALL_ADVICE = (
    "Disable the country, or its high-risk numbers, in Twilio's Voice geographic permissions; rotate credentials that "
    "may have leaked; limit how many calls a user may start."
)


@dataclass(frozen=True)
class Suspicion:
    """Outbound traffic that looks like fraud."""

    kind: Kind
    log_type: LogType
    to_country: str | None
    prefix: str | None
    count: int
    """Logs; 0 if money is compared."""
    usual: float | None
    """The usual value, in logs or money; None for kinds without comparison."""
    at: datetime
    """The start of the hour that rose the most, or the time of the newest log."""
    recipients: int | None = None
    amount: Decimal | None = None
    price_unit: str | None = None
    usual_peak: float = 0
    """The highest usual hour that the rule would count, in logs or money."""
    country_peak: float = 0
    """The same for the country, which the rule counts if the prefix is masked."""

    @property
    def advice(self) -> str:
        """How to limit this traffic at Twilio."""
        return CALL_ADVICE if self.log_type == LogType.CALL else MESSAGE_ADVICE

    @property
    def title(self) -> str:
        """The kind in two or three words."""
        return TITLES[self.kind]

    def shown_prefix(self, *, masked: bool) -> str | None:
        """Return the prefix; a masked one shows only its first digits."""
        if self.prefix is None or not masked or len(self.prefix) <= SHOWN_DIGITS:
            return self.prefix
        return self.prefix[:SHOWN_DIGITS] + HIDDEN

    def detail(self, *, masked: bool) -> str:
        """Describe the finding in a sentence."""
        where = country(self.to_country) if self.to_country else f"numbers of {NO_COUNTRY}"
        many, prefix = counted(self.count, self.log_type), self.shown_prefix(masked=masked)
        usual = f"usual for these hours: {self.usual or 0:,.0f}"
        match self.kind:
            case Kind.NEW_COUNTRY:
                return f"{many} to {where}, which got none in the 30 days before."
            case Kind.COUNTRY_SURGE:
                return f"{many} to {where}; {usual}."
            case Kind.CONSECUTIVE_NUMBERS:
                return f"{many} to {self.recipients:,} numbers that all begin with {prefix}, in {where}" + (
                    "." if self.usual is None else f"; {usual}."
                )
            case Kind.SPEND_SURGE:
                return f"{self.amount:,.2f} {self.price_unit} for {self.log_type}s to {where}; {usual}."
            case Kind.HIGH_COST_PREFIX:
                return f"{many} to {prefix}: {HIGH_COST[self.prefix or '']}."
            case Kind.SHORT_CALLS:
                return f"{many} of at most {SHORT_SECONDS} seconds to {self.recipients:,} numbers with {prefix}."

    def rule(self, *, masked: bool) -> JsonObject:
        """Return the body of a rule for the same traffic, with a limit above what is usual."""
        body: JsonObject = {
            "name": self._rule_name(masked=masked),
            "log_type": str(self.log_type),
            "severity": str(Severity.WARNING),
            "filters": {"direction": [*OUTBOUND[self.log_type]]},
            "pattern_type": "any",
            "condition": self._condition(masked=masked),
        }
        if self.to_country:
            body["filters"]["to_country"] = [self.to_country]
        if tests := self._tests(masked=masked):
            body |= {"pattern_type": "expression", "pattern_value": " && ".join(tests)}
        return body

    def _rule_name(self, *, masked: bool) -> str:
        where = self.prefix if self._names_prefix(masked=masked) else self.to_country or "numbers of no country"
        return f"{RULE_NAMES[self.kind].format(logs=f'{self.log_type}s')} to {where}"

    def _names_prefix(self, *, masked: bool) -> bool:
        """Return whether a rule tests the prefix. If it is masked, the rule counts the country instead."""
        return self.prefix is not None and self.prefix == self.shown_prefix(masked=masked)

    def _tests(self, *, masked: bool) -> list[str]:
        """List the terms of the expression."""
        found = []
        if self.to_country is None and not self._names_prefix(masked=masked):
            found.append("log.to_country == null")
        if self._names_prefix(masked=masked):
            found.append(f'log.to != null && log.to.startsWith("{self.prefix}")')
        if self.kind == Kind.SHORT_CALLS:
            found.append('log.status == "completed" && log.duration_seconds != null')
            found.append(f"log.duration_seconds <= {SHORT_SECONDS}")
        return found

    def _condition(self, *, masked: bool) -> JsonObject:
        match self.kind:
            case Kind.SPEND_SURGE:
                at_least = round(max(LEAST_AMOUNT, ABOVE_USUAL * self.usual_peak), 2)
                return {"type": "sum", "field": "price", "at_least": at_least, "window_minutes": 60}
            case Kind.COUNTRY_SURGE:
                least = LEAST_IN_SPIKE[self.log_type]
                return {"type": "spike", "factor": 5, "window_minutes": 60, "baseline_windows": 24, "min_count": least}
            case Kind.HIGH_COST_PREFIX:
                return {"type": "each"}
            case _:
                highest = self.usual_peak if self._names_prefix(masked=masked) or not self.prefix else self.country_peak
                count = max(LEAST_IN_RULE, ceil(ABOVE_USUAL * highest))
                return {"type": "threshold", "count": count, "window_minutes": 60}
