"""Filters of lists: query parameters of the address, named as in the API and shown as chips."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from app.api.console import texts
from app.api.console.access import UTC_ZONE
from app.api.json_guard import BIDI_OVERRIDES, trim_list
from app.api.lists import write_cursor
from app.api.schemas.common import PageQuery
from app.services.logs.search import NONE, WITH_NONE
from app.services.paging import Page, Position, to_json
from app.utils import validation_messages
from app.utils.calendar_edges import to_zone
from app.utils.clock import rfc3339

Query = TypeVar("Query", bound=BaseModel)
AGES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
TIMES = ("since", "until")
OWN = frozenset({"cursor", "limit", "live", "plot", "span", "tab"})
"""Parameters of the page that are no filters."""


class Chip(NamedTuple):
    """One filter that is set."""

    name: str
    text: str
    without: str
    """The address of the page without it."""
    error: str = ""
    """Why it is invalid; the page is shown without it."""


@dataclass(frozen=True)
class Filters(Generic[Query]):
    """The filters of an address."""

    query: Query
    """The valid ones."""
    chips: Sequence[Chip]
    address: str
    """Path and query of all filters, without the page's own parameters."""
    path: str
    given: Mapping[str, str]
    """All parameters of the address, by name."""

    def replaced(self, **values: str) -> str:
        """Return the address with some filters set or replaced; `from_` is `from`."""
        query = {**self.given, **{name.rstrip("_"): value for name, value in values.items()}}
        return f"{self.path}?{urlencode(query)}"

    def used(self) -> dict[str, str]:
        """Return the valid parameters of the address."""
        bad = {chip.name for chip in self.chips if chip.error}
        return {name: value for name, value in self.given.items() if name not in bad}


def read_filters(
    model: type[Query],
    path: str,
    sent: Sequence[tuple[str, str]],
    now: datetime,
    labels: Mapping[str, str],
    zone: ZoneInfo = UTC_ZONE,
) -> Filters[Query]:
    """Read the filters of an address. An invalid one becomes a chip with the reason; the others apply.

    Args:    labels: labels of filters whose name is no label; zone: for times.
    """
    given = {name: value for name, value in sent if name not in OWN and value}
    usable = {name: _resolve(name, value, now) for name, value in given.items()}
    errors: dict[str, str] = {}
    while True:
        try:
            query = model.model_validate(usable)
            if not _ends_before_it_begins(query):
                break
            errors["until"] = "ends the span before it begins"
            usable.pop("until")
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                name = str(item["loc"][0]) if item["loc"] else next(iter(usable))
                errors[name] = validation_messages.sentence(item)
                usable.pop(name, None)
    chips = [
        Chip(name, _text(name, value, labels, zone, now), _without(path, given, name), errors.get(name, ""))
        for name, value in given.items()
    ]
    return Filters(query, chips, f"{path}?{urlencode(given)}" if given else path, path, given)


def _ends_before_it_begins(query: BaseModel) -> bool:
    since, until = (getattr(query, name, None) for name in ("since", "until"))
    return since is not None and until is not None and until <= since


def _resolve(name: str, value: str, now: datetime) -> Any:
    """Read an age such as `24h` as the time that long ago."""
    if name in TIMES and value in AGES:
        return rfc3339(now - AGES[value])
    return value


def clean_address(path: str, sent: Sequence[tuple[str, str]], zone: ZoneInfo) -> str | None:
    """Return the address without empty parameters, and with absolute times.

    Args:    zone: of the person who filled in the form.
    Returns: None if the address is clean already.
    """
    trimmed = [(name, trim_list(value) if BIDI_OVERRIDES.search(value) else value) for name, value in sent]
    clean = [(name, _instant(value, zone) if name in TIMES else value) for name, value in trimmed if value]
    if clean == [*sent]:
        return None
    return f"{path}?{urlencode(clean)}" if clean else path


def _instant(value: str, zone: ZoneInfo) -> str:
    """Convert a browser's local time without an offset to a moment."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return rfc3339(to_zone(at.replace(tzinfo=zone), UTC)) if at.tzinfo is None else value


def _text(name: str, value: str, labels: Mapping[str, str], zone: ZoneInfo, now: datetime) -> str:
    if name == "since" and value in AGES:
        return f"last {value[:-1]} {'hours' if value.endswith('h') else 'days'}".replace("last 1 hours", "last hour")
    shown = "no value" if value == NONE and name in WITH_NONE else value.replace(",", ", ")
    if name in TIMES and value not in AGES:
        with suppress(ValueError):
            shown = texts.moment(datetime.fromisoformat(value), zone, now)
    return f"{labels.get(name, name.replace('_', ' '))}: {shown}"


def _without(path: str, given: Mapping[str, str], name: str) -> str:
    rest = {key: value for key, value in given.items() if key != name}
    return f"{path}?{urlencode(rest)}" if rest else path


class Neighbours(NamedTuple):
    """The addresses of the previous and next page; None at the ends of the list."""

    newer: str | None
    older: str | None


def neighbours(name: str, query: PageQuery, page: Page[Any], address: str) -> Neighbours:
    """Return the addresses of the pages before and after.

    Args:    name: of the list, as its cursors know it; address: path and query of the filters.
    """

    def leads_to(position: Position | None) -> str | None:
        if position is None:
            return None
        cursor = write_cursor(name, query, to_json(position))
        return f"{address}{'&' if '?' in address else '?'}cursor={cursor}"

    return Neighbours(leads_to(page.newer), leads_to(page.older))
