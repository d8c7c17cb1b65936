"""The menu for adding filters to the list of logs: links for fields with few values, a form for the others. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.api.console.filters import Filters
from app.api.schemas.logs import LogFilters
from app.enums import LogType
from app.services.twilio.statuses import CALL_RANKS, MESSAGE_RANKS
from app.services.twilio.vocabulary import DIRECTIONS

SPANS = {"1h": "the last hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
KINDS = {"message": "messages", "call": "calls", "error": "error log"}
FIELDS = (
    ("error_code", "Error codes", "30007,30003"),
    ("from", "Senders", "+14155550100"),
    ("to", "Recipients", "+447700900123"),
    ("to_country", "Countries", "GB,US"),
    ("messaging_service_sid", "Messaging services", "MG..."),
    ("account_sid", "Accounts", "AC..."),
)
"""Filters that are typed: name, label, example."""


class Choice(NamedTuple):
    """A filter as a link."""

    text: str
    href: str


class Group(NamedTuple):
    """The choices of one filter."""

    label: str
    choices: Sequence[Choice]


def groups(filters: Filters[LogFilters]) -> list[Group]:
    """List the choices that are not set. Filters with several values gain one."""
    given = filters.given
    types = filters.query.log_type or tuple(LogType)
    statuses = [*(MESSAGE_RANKS if "message" in types else ()), *(CALL_RANKS if "call" in types else ())]
    directions = [word for kind in types for word in DIRECTIONS.get(kind, ())]
    spans = [Choice(words, filters.replaced(since=span)) for span, words in SPANS.items() if given.get("since") != span]
    found = [
        Group("Time", spans),
        Group("Kind", [Choice(KINDS[word], href) for word, href in _more(filters, "log_type", [*KINDS])]),
        Group("Status", [Choice(word, href) for word, href in _more(filters, "status", _failures_first(statuses))]),
        Group("Direction", [Choice(word, href) for word, href in _more(filters, "direction", directions)]),
    ]
    if "error" in types:
        levels = [Choice(word, href) for word, href in _more(filters, "level", ["error", "warning", "notice", "debug"])]
        found.append(Group("Level", levels))
    if "final" not in given:
        finals = (("status is final", "true"), ("may still change", "false"))
        found.append(Group("State", [Choice(text, filters.replaced(final=value)) for text, value in finals]))
    return [group for group in found if group.choices]


def _failures_first(statuses: Sequence[str]) -> list[str]:
    worst = ("failed", "undelivered", "busy", "no-answer", "canceled")
    return sorted(dict.fromkeys(statuses), key=lambda status: worst.index(status) if status in worst else len(worst))


def _more(filters: Filters[LogFilters], name: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each value that is not set, with the address that adds it."""
    chosen = [value for value in filters.given.get(name, "").split(",") if value]
    for value in dict.fromkeys(values):
        if value not in chosen:
            yield value, filters.replaced(**{name: ",".join([*chosen, value])})
