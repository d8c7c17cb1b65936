"""Accounts as their pages show them, with streams, gaps and the progress of backfills. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.services.twilio.read_advice import advise

NAMES = {"message": "Messages", "call": "Calls", "error": "Error log"}


@dataclass(frozen=True)
class BackfillView:
    """A backfill that is not done."""

    since: datetime
    until: datetime
    read_from: datetime
    percent: float


@dataclass(frozen=True)
class GapView:
    """A coverage gap."""

    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class StreamView:
    """One stream of an account."""

    log_type: str
    name: str
    state: str
    """`ok`, `late`, `failing`, `new` or `off`."""
    complete_from: datetime | None
    complete_until: datetime | None
    last_success_at: datetime | None
    error: str | None
    failures: int
    advice: str
    """What to do about its error; empty if that is unknown."""
    backfills: Sequence[BackfillView]
    gaps: Sequence[GapView]


@dataclass(frozen=True)
class AccountView:
    """One account."""

    shown: dict[str, Any]
    """As the API shows it."""
    streams: Sequence[StreamView]

    @property
    def advice(self) -> str:
        """What to do about the error of reading the account itself."""
        return advise(self.shown["last_error"], from_environment=self.shown["from_environment"])

    @property
    def pushed_at(self) -> datetime | None:
        """When the last callback about it arrived."""
        return _time(self.shown["last_callback_at"])

    @property
    def name(self) -> str:
        """Its name for people."""
        return str(self.shown["friendly_name"] or self.shown["sid"])

    @property
    def budget_percent(self) -> float:
        """The used share of the hourly request budget."""
        used: int = self.shown["requests_last_hour"]
        most: int = self.shown["max_requests_per_minute"]
        return min(100.0, 100 * used / (60 * most))

    @property
    def gap_count(self) -> int:
        """Count the coverage gaps."""
        return sum(len(stream.gaps) for stream in self.streams)


def view(shown: dict[str, Any]) -> AccountView:
    """Prepare an account for its page."""
    streams = [_stream(each, from_environment=shown["from_environment"]) for each in shown["streams"]]
    return AccountView(shown, streams)


def _stream(shown: Mapping[str, Any], *, from_environment: bool) -> StreamView:
    state = _state(shown)
    return StreamView(
        log_type=shown["log_type"],
        name=NAMES[shown["log_type"]],
        state=state,
        complete_from=_time(shown["complete_from"]),
        complete_until=_time(shown["complete_until"]),
        last_success_at=_time(shown["last_success_at"]),
        error=shown["last_error"],
        failures=shown["failures"],
        advice="" if state == "off" else advise(shown["last_error"], from_environment=from_environment),
        backfills=[_backfill(each) for each in shown["backfills"]],
        gaps=[
            GapView(datetime.fromisoformat(each["since"]), datetime.fromisoformat(each["until"]), each["reason"])
            for each in shown["coverage_gaps"]
        ],
    )


def _state(shown: Mapping[str, Any]) -> str:
    if shown["unavailable"]:
        return "off"
    if shown["failures"]:
        return "failing"
    if shown["last_success_at"] is None:
        return "new"
    return "late" if shown["rereads_behind"] else "ok"


def _backfill(shown: Mapping[str, str]) -> BackfillView:
    since, until, read_from = (datetime.fromisoformat(shown[name]) for name in ("since", "until", "read_from"))
    share = (read_from - since) / (until - since)
    return BackfillView(since, until, read_from, round(100 * max(0.0, min(1.0, share)), 1))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
