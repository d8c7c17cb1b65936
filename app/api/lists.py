"""Lists: one page of rows, and the cursor to the next."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Response
from sqlalchemy import Select
from sqlalchemy.orm import Session

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
    secret, context = get_settings().secret_keys[0], name + orjson.dumps(query.filters).decode()
    place = None if query.cursor is None else _place(secret, context, query.cursor, keys)
    rows, more = paging.page(session, statement, keys, place, query.limit)
    following = cursors.write(secret, context, paging.show(paging.place_of(rows[-1], keys))) if more else None
    return json_answer({"items": [show(row) for row in rows], "next_cursor": following})


def _place(secret: str, context: str, cursor: str, keys: paging.Keys) -> paging.Place:
    try:
        return paging.read(keys, cursors.read(secret, context, cursor))
    except cursors.BadCursor:
        message = "is not a cursor of this list with these filters: begin again without it"
        raise InvalidInput([FieldError("cursor", message)]) from None
