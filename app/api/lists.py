"""Lists: one page of rows, and the cursor to the next."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from fastapi import Response
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.api import cursors
from app.api.answers import JsonObject, json_answer
from app.api.schemas.common import PageQuery
from app.config import get_settings
from app.errors import FieldError, InvalidInput
from app.services import paging


def answer_page(
    session: Session,
    name: str,
    statement: Select[*tuple[Any, ...]],
    keys: paging.Keys,
    query: PageQuery,
    show: Callable[[Any], JsonObject],
) -> Response:
    """Answer with the page that a query asks for.

    Args:
        name: of the list, to which its cursors are bound, with the filters.
        keys: columns of the statement, by which it is sorted in descending order; together they are unique.
    """
    rows, more = paging.page(session, statement, keys, read_place(name, query, keys), query.limit)
    return answer_rows(name, keys, query, rows, more=more, show=show)


def narrowed(
    statement: Select[*tuple[Any, ...]],
    one_of: Mapping[InstrumentedAttribute[Any], Collection[Any]],
    at: InstrumentedAttribute[datetime],
    since: datetime | None,
    until: datetime | None,
) -> Select[*tuple[Any, ...]]:
    """Keep the rows whose columns have one of these values, if any are given, and whose time is in `[since, until)`."""
    for column, values in one_of.items():
        if values:
            statement = statement.where(column.in_(values))
    if since is not None:
        statement = statement.where(at >= since)
    return statement if until is None else statement.where(at < until)


def answer_rows(
    name: str,
    keys: paging.Keys,
    query: PageQuery,
    rows: Sequence[Any],
    *,
    more: bool,
    show: Callable[[Any], JsonObject],
) -> Response:
    """Answer with rows that were read, and the cursor to what comes after them."""
    following = write_cursor(name, query, paging.show(paging.place_of(rows[-1], keys))) if more else None
    return json_answer({"items": [show(row) for row in rows], "next_cursor": following})


def write_cursor(name: str, query: PageQuery, place: Sequence[str | int]) -> str:
    """Write the cursor to what comes after a place, bound to the list and the filters."""
    return cursors.write(get_settings().secret_keys[0], _context(name, query), place)


def read_cursor(name: str, query: PageQuery) -> list[Any]:
    """Read the place out of the cursor that was sent.

    Raises: InvalidInput where it is none of this list with these filters.
    """
    try:
        return cursors.read(get_settings().secret_keys[0], _context(name, query), query.cursor or "")
    except cursors.BadCursor:
        message = "is not a cursor of this list with these filters: begin again without it"
        raise InvalidInput([FieldError("cursor", message)]) from None


def read_place(name: str, query: PageQuery, keys: paging.Keys) -> paging.Place | None:
    """Read where the page before ended; None for the first page."""
    return None if query.cursor is None else paging.read(keys, read_cursor(name, query))


def _context(name: str, query: PageQuery) -> str:
    return name + orjson.dumps(query.filters).decode()
