"""The functions of templates that depend on who looks at the page, and when."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fastapi import Request
from markupsafe import Markup, escape

from app.api.console import texts
from app.api.console.access import UTC_ZONE, Viewer
from app.utils.clock import rfc3339

TABLES = "tables"
"""Parameter of every page with plots; `on` puts the table behind each plot into the page."""


@dataclass(frozen=True)
class _View:
    """The context of template functions while one page is rendered."""

    zone: ZoneInfo
    now: datetime
    has_tables: bool
    """Each plot has its table in the page; else script makes it of the plot when somebody opens it."""
    tables_address: str


_view: ContextVar[_View] = ContextVar("_view")


def begin_page(request: Request, viewer: Viewer | None, now: datetime, *, is_fragment: bool) -> None:
    """Say for whom, and when, the functions write until the next page."""
    is_asked = request.query_params.get(TABLES) == "on"
    is_posted = request.method == "POST" and not is_fragment
    with_tables = request.url.include_query_params(**{TABLES: "on"})
    view = _View(
        zone=viewer.zone if viewer else UTC_ZONE,
        now=now,
        has_tables=is_asked or is_posted,
        tables_address=f"{with_tables.path}?{with_tables.query}",
    )
    _view.set(view)


def when(at: datetime | None, *, seconds: bool = False, missing: str = "never") -> Markup:
    """Write a time in the viewer's zone, with the UTC time behind it."""
    if at is None:
        return escape(missing)
    view = _view.get()
    return _time(at, texts.moment(at, view.zone, view.now, seconds=seconds))


def age(at: datetime) -> Markup:
    """Write how long ago a time was."""
    return _time(at, f"{texts.duration(_view.get().now - at)} ago")


def _time(at: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        rfc3339(at.replace(microsecond=0)), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", text
    )


def lasting(since: datetime, until: datetime | None = None) -> str:
    """Write how long something has lasted."""
    return texts.duration((until or _view.get().now) - since)


class PlotTables:
    """The tables behind the plots of the page that is rendered."""

    @staticmethod
    def are_shown() -> bool:
        """Return whether the page shows them: its address asks for them, or it was not reached by a link."""
        return _view.get().has_tables

    @staticmethod
    def address() -> str:
        """Return the address of the same page with them."""
        return _view.get().tables_address
