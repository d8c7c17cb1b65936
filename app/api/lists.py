"""Lists: one page as JSON, with the cursor of the next."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import Response

from app.api import cursors
from app.api.responses import json_response
from app.api.schemas.common import PageQuery
from app.config import get_settings
from app.errors import FieldError, InvalidInput
from app.services import paging
from app.utils.json_types import JsonObject


def page_response(
    name: str,
    query: PageQuery,
    items: Sequence[JsonObject],
    older: paging.Position | None,
    warnings: Sequence[FieldError] = (),
) -> Response:
    """Build the response for one page.

    Args:    name: of the list. Cursors are bound to it and to the filters.
    """
    following = None if older is None else write_cursor(name, query, paging.to_json(older))
    return json_response({"items": items, "next_cursor": following} | shown_warnings(warnings))


def shown_warnings(warnings: Sequence[FieldError]) -> JsonObject:
    """Return the `warnings` member of a response; empty without warnings."""
    return {"warnings": [asdict(warning) for warning in warnings]} if warnings else {}


def read_position(name: str, query: PageQuery, sort_key: paging.SortKey) -> paging.Position | None:
    """Return where the page starts, or None for the first page.

    Raises: InvalidInput if the cursor is not one of this list with these filters.
    """
    return None if query.cursor is None else paging.from_json(sort_key, read_cursor(name, query))


def write_cursor(name: str, query: PageQuery, position: Sequence[str | int]) -> str:
    """Write a cursor, bound to the list and the filters."""
    return cursors.encode(get_settings().secret_keys[0], _context(name, query), position)


def read_cursor(name: str, query: PageQuery) -> list[Any]:
    """Read the position from the request's cursor.

    Raises: InvalidInput if the cursor is not one of this list with these filters.
    """
    try:
        return cursors.decode(get_settings().secret_keys[0], _context(name, query), query.cursor or "")
    except cursors.InvalidCursor:
        message = "is not a cursor of this list with these filters: start again without it"
        raise InvalidInput([FieldError("cursor", message)]) from None


def _context(name: str, query: PageQuery) -> str:
    return name + orjson.dumps(query.filters).decode()
