"""Twilio's two ways of paging: parsing the requested page, and building it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from scripts.twilio_simulator.errors import bad_parameter
from scripts.twilio_simulator.http import Request, Response

DEFAULT_SIZE = 50
MAX_SIZE = 1000
PAGING = ("PageSize", "Page", "PageToken")


@dataclass(frozen=True)
class PageQuery:
    """The requested page."""

    size: int
    number: int
    after_sid: str | None
    """The page starts after this record."""
    before_sid: str | None
    """The page ends before this record."""

    @property
    def start(self) -> int:
        """The index of the page's first record, as the client counts."""
        return self.size * self.number


@dataclass(frozen=True)
class Page:
    """A page's encoded records, and its links."""

    items: list[bytes]
    next_after: str | None
    """The SID after which the next page starts; None at the end."""
    first_sid: str | None
    """The SID before which the previous page ends."""


def read_page_query(request: Request) -> PageQuery:
    """Parse the three paging parameters.

    Raises: ApiError: 400 if they are invalid, such as a page number without a token.
    """
    size, number = _number(request, "PageSize", DEFAULT_SIZE), _number(request, "Page", 0)
    if not 1 <= size <= MAX_SIZE:
        raise bad_parameter(f"Invalid PageSize {size}")
    token = request.query.get("PageToken", "")
    if number > 0 and not token:
        raise bad_parameter("AfterSid is required for paging")
    if token and not token.startswith(("PA", "PB")):
        raise bad_parameter("PageToken is not valid")
    return PageQuery(
        size, number, token[2:] if token.startswith("PA") else None, token[2:] if token.startswith("PB") else None
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise bad_parameter(f"Invalid {name} {text}")
    return int(text)


def write_page(page: Page, key: str, query: PageQuery, request: Request) -> Response:
    """Build a page as the API of its path does: relative links for 2010-04-01, absolute ones for the others."""
    if request.path.startswith("/2010-04-01/"):
        return Response(200, _write_2010(page, key, query, request))
    return Response(200, _write_meta(page, key, query, request))


def _write_2010(page: Page, key: str, query: PageQuery, request: Request) -> bytes:
    links = _links(page, query, request)
    envelope = {
        "page": query.number,
        "page_size": query.size,
        "start": query.start,
        "end": query.start + max(0, len(page.items) - 1),
        "uri": links["this"],
        "first_page_uri": links["first"],
        "previous_page_uri": links["previous"],
        "next_page_uri": links["next"],
    }
    return _join(key, page.items, json.dumps(envelope)[1:-1])


def _write_meta(page: Page, key: str, query: PageQuery, request: Request) -> bytes:
    origin = f"http://{request.headers.get('host', 'monitor.twilio.com')}"
    links = {name: link and origin + link for name, link in _links(page, query, request).items()}
    meta = {
        "key": key,
        "page": query.number,
        "page_size": query.size,
        "url": links["this"],
        "first_page_url": links["first"],
        "previous_page_url": links["previous"],
        "next_page_url": links["next"],
    }
    return _join(key, page.items, json.dumps({"meta": meta})[1:-1])


def _join(key: str, items: list[bytes], rest: str) -> bytes:
    return b'{"%b":[%b],%b}' % (key.encode(), b",".join(items), rest.encode())


def _links(page: Page, query: PageQuery, request: Request) -> dict[str, str | None]:
    filters = {name: value for name, value in request.query.items() if name not in PAGING}

    def link(number: int, token: str | None = None) -> str:
        paging: Mapping[str, Any] = {"PageSize": query.size, "Page": number} | ({"PageToken": token} if token else {})
        return f"{request.path}?{urlencode(filters | dict(paging), quote_via=quote)}"

    return {
        "this": link(query.number, request.query.get("PageToken")),
        "first": link(0),
        "previous": link(query.number - 1, f"PB{page.first_sid}") if query.number > 0 and page.first_sid else None,
        "next": link(query.number + 1, f"PA{page.next_after}") if page.next_after else None,
    }
