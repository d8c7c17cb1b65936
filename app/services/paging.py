"""One page of a list, newest first: by what comes after a place, never by counting rows off."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

Place = tuple[Any, ...]
"""The values of the sorting columns in the last row of a page."""
Keys = Sequence[InstrumentedAttribute[Any]]


def after(keys: Keys, place: Place) -> ColumnElement[bool]:
    """Select what comes after a place in descending order of the keys."""
    values = [literal(value, key.type) for key, value in zip(keys, place, strict=True)]
    # The first comparison follows from the second; it lets PostgreSQL leave whole partitions out.
    return (keys[0] <= values[0]) & (tuple_(*keys) < tuple_(*values))


def page(
    session: Session, query: Select[*tuple[Any, ...]], keys: Keys, place: Place | None, limit: int
) -> tuple[list[Row[*tuple[Any, ...]]], bool]:
    """Read one page in descending order of the keys.

    Args:    place: where the page before ended; None for the first.
    Returns: the rows, and whether more come after.
    """
    if place is not None:
        query = query.where(after(keys, place))
    rows = session.execute(query.order_by(*(key.desc() for key in keys)).limit(limit + 1)).all()
    return list(rows[:limit]), len(rows) > limit


def place_of(row: Any, keys: Keys) -> Place:
    """Return the place of a row, or of an object, that has the keys' names."""
    return tuple(getattr(row, key.key) for key in keys)


def show(place: Place) -> list[str | int]:
    """Write a place as values for JSON."""
    return [value if isinstance(value, int) else str(value) for value in place]


def read(keys: Keys, shown: Sequence[Any]) -> Place:
    """Read a place back from what `show` wrote for the same keys."""
    return tuple(_READ[key.type.python_type](value) for key, value in zip(keys, shown, strict=True))


_READ: dict[type, Callable[[Any], Any]] = {datetime: datetime.fromisoformat, UUID: UUID, int: int, str: str}
