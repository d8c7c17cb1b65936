"""The rules of a run, and the alerts that a reference evaluator expects, given everything that Twilio had."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from scripts.twilio_simulator import Emitted
from tests.reference import Expected, Match, alerts

COUNTRIES = {"+44": "GB", "+49": "DE", "+33": "FR", "+1": "US"}


class Fact(NamedTuple):
    """The last version of a log as rules see it."""

    log_type: str
    sid: str
    at: datetime
    """When it reached that version, to the second."""
    code: int | None
    status: str | None
    to: str | None
    text: str


@dataclass(frozen=True)
class RuleCase:
    """A rule with the parameters of the reference evaluator."""

    body: Mapping[str, Any]
    matches: Callable[[Fact], bool]
    group: Callable[[Fact], tuple[Any, ...]] = lambda _fact: ()
    count: int = 1
    window: timedelta = timedelta(0)
    lookback: timedelta | None = None

    @property
    def name(self) -> str:
        return str(self.body["name"])

    def expected(self, facts: Iterable[Fact]) -> dict[tuple[Any, ...], list[Expected]]:
        """Return the expected alerts by group."""
        groups: dict[tuple[Any, ...], list[Match]] = defaultdict(list)
        for fact in facts:
            if self.matches(fact):
                groups[self.group(fact)].append(Match(fact.at, fact.code))
        quiet = timedelta(minutes=self.body["resolve_after_minutes"])
        found = {
            group: alerts(matches, quiet, count=self.count, window=self.window, lookback=self.lookback)
            for group, matches in groups.items()
        }
        return {group: episodes for group, episodes in found.items() if episodes}


def facts_of(emitted: Iterable[Emitted]) -> list[Fact]:
    """Convert Twilio's records. The codes of calls come from their error entries."""
    records = [(each.kind.log_type, each.record) for each in emitted]
    codes = {
        record["resource_sid"]: int(record["error_code"])
        for log_type, record in records
        if log_type == "error" and record["log_level"] == "error"
    }
    return [_fact(log_type, record, codes) for log_type, record in records]


def _fact(log_type: str, record: Mapping[str, Any], codes: Mapping[str, int]) -> Fact:
    if log_type == "error":
        at = datetime.fromisoformat(record["date_generated"])
        return Fact(log_type, record["sid"], _second(at), int(record["error_code"]), None, None, record["alert_text"])
    at = parsedate_to_datetime((log_type == "call" and record["end_time"]) or record["date_updated"])
    code = codes.get(record["sid"]) if log_type == "call" else record["error_code"]
    return Fact(log_type, record["sid"], _second(at), code, record["status"], record["to"], record.get("body") or "")


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _country(fact: Fact) -> str | None:
    return next((name for prefix, name in COUNTRIES.items() if (fact.to or "").startswith(prefix)), None)


QUICK = {"cooldown_minutes": 0, "renotify_minutes": None, "resolve_after_minutes": 0}
SLOW = {"cooldown_minutes": 0, "renotify_minutes": 1, "resolve_after_minutes": 60}
KINDS = (
    RuleCase(
        {
            "name": "Unreachable, by number",
            "log_type": "message",
            "pattern_type": "error_code",
            "pattern_value": "30003",
            "group_by": ["to"],
        }
        | SLOW,
        lambda fact: fact.log_type == "message" and fact.code == 30003,
        lambda fact: (fact.to,),
    ),
    RuleCase(
        {"name": "Failed calls", "log_type": "call", "pattern_type": "error_code", "pattern_value": "31000-32999"}
        | QUICK,
        lambda fact: fact.log_type == "call" and fact.code in range(31000, 33000),
    ),
    RuleCase(
        {
            "name": "Many undelivered, by country",
            "log_type": "message",
            "pattern_type": "status",
            "pattern_value": "undelivered,failed",
            "condition": {"type": "threshold", "count": 5, "window_minutes": 1},
            "group_by": ["to_country"],
        }
        | SLOW,
        lambda fact: fact.log_type == "message" and fact.status in ("undelivered", "failed"),
        lambda fact: (_country(fact),),
        count=5,
        window=timedelta(minutes=1),
    ),
    RuleCase(
        {
            "name": "New code",
            "log_type": "message",
            "pattern_type": "error_code",
            "pattern_value": "*",
            "condition": {"type": "new_value", "field": "error_code", "lookback_days": 30},
        }
        | SLOW,
        lambda fact: fact.log_type == "message" and fact.code is not None,
        lookback=timedelta(days=30),
    ),
    # Patterns use only values of a log's last version: which earlier versions are seen depends on chance.
    RuleCase(
        {
            "name": "Parcels",
            "log_type": "message",
            "pattern_type": "expression",
            "pattern_value": 'log.final && log.text.contains("parcel")',
        }
        | SLOW,
        lambda fact: fact.log_type == "message" and fact.status != "sent" and "parcel" in fact.text,
    ),
    RuleCase(
        {"name": "Errors", "log_type": "error", "pattern_type": "regex", "pattern_value": "time-?out"} | QUICK,
        lambda fact: fact.log_type == "error" and "timeout" in fact.text,
    ),
    RuleCase(
        {
            "name": "Failed calls by expression",
            "log_type": "call",
            "pattern_type": "expression",
            "pattern_value": 'log.status == "failed" && log.to.startsWith("+44")',
            "group_by": ["to"],
        }
        | SLOW,
        lambda fact: fact.log_type == "call" and fact.status == "failed" and (fact.to or "").startswith("+44"),
        lambda fact: (fact.to,),
    ),
)
