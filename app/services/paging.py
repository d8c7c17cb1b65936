"""One page of a list, newest first. A page starts at a position in the sort order; rows are never counted off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

Item = TypeVar("Item")
Statement = TypeVar("Statement", bound=Select[Any])
SortKey = Sequence[InstrumentedAttribute[Any]]
"""Columns that sort a list in descending order. Together they are unique."""


class Position(NamedTuple):
    """A point between two rows of a list."""

    values: tuple[Any, ...]
    """Values of the sort key in the row beside it."""
    backward: bool = False
    """Read towards newer rows; otherwise towards older ones."""


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Rows of one page, newest first."""

    items: Sequence[Item]
    older: Position | None
    """Where the next page of older rows starts; None on the last page."""
    newer: Position | None
    """Where the page of newer rows starts; None on the first page."""


def read_page(
    session: Session, query: Select[Item], sort_key: SortKey, position: Position | None, limit: int
) -> Page[Item]:
    """Read one page of entities.

    Args:    position: where the page starts; None for the first page.
    """
    rows = session.scalars(limited(query, sort_key, position, limit)).all()
    return split_page(rows, sort_key, position, limit)


def read_rows(
    session: Session, query: Select[*tuple[Any, ...]], sort_key: SortKey, position: Position | None, limit: int
) -> Page[Row[*tuple[Any, ...]]]:
    """Read one page of rows, likewise."""
    rows = session.execute(limited(query, sort_key, position, limit)).all()
    return split_page(rows, sort_key, position, limit)


def limited(query: Statement, sort_key: SortKey, position: Position | None, limit: int) -> Statement:
    """Limit a query to one page and one row more, which tells whether another page follows."""
    backward = position is not None and position.backward
    if position is not None:
        query = query.where(beyond(sort_key, position))
    return query.order_by(*(key.asc() if backward else key.desc() for key in sort_key)).limit(limit + 1)


def beyond(sort_key: SortKey, position: Position) -> ColumnElement[bool]:
    """Select the rows on the side of the position that is to be read."""
    values = [literal(value, key.type) for key, value in zip(sort_key, position.values, strict=True)]
    # The first comparison follows from the second; it lets PostgreSQL leave whole partitions out.
    if position.backward:
        return (sort_key[0] >= values[0]) & (tuple_(*sort_key) > tuple_(*values))
    return (sort_key[0] <= values[0]) & (tuple_(*sort_key) < tuple_(*values))


def split_page(rows: Sequence[Item], sort_key: SortKey, position: Position | None, limit: int) -> Page[Item]:
    """Make a page of the rows that `limited` selected."""
    backward = position is not None and position.backward
    more = len(rows) > limit
    items = list(rows[:limit])
    if backward:
        items.reverse()
    if not items:
        return Page(items, older=None, newer=None)
    has_older = backward or more
    has_newer = more if backward else position is not None
    return Page(
        items,
        older=Position(_values(items[-1], sort_key)) if has_older else None,
        newer=Position(_values(items[0], sort_key), backward=True) if has_newer else None,
    )


def _values(row: Any, sort_key: SortKey) -> tuple[Any, ...]:
    return tuple(getattr(row, key.key) for key in sort_key)


def to_json(position: Position) -> list[str | int]:
    """Write a position as JSON values; a leading "<" means backward."""
    values = [value if isinstance(value, int) else str(value) for value in position.values]
    return ["<", *values] if position.backward else values


def from_json(sort_key: SortKey, values: Sequence[Any]) -> Position:
    """Read a position that `to_json` wrote for the same sort key."""
    backward = values[0] == "<"
    read = zip(sort_key, values[backward:], strict=True)
    return Position(tuple(_READ[key.type.python_type](value) for key, value in read), backward)


_READ: dict[type, Callable[[Any], Any]] = {datetime: datetime.fromisoformat, UUID: UUID, int: int, str: str}
