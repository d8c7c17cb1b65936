"""Times in the address of a page."""

from datetime import datetime

from fastapi import Request

from app.api.schemas.common import read_query_time


def read_time_of(request: Request, name: str) -> datetime | None:
    """Read a time or an age from the address; None if it is missing.

    Raises: ValueError.
    """
    value = request.query_params.get(name)
    try:
        return read_query_time(value) if value else None
    except ValueError as error:
        raise ValueError(f"“{name}” {error}") from None
