"""Addresses with a query. Pure."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from app.utils.clock import rfc3339


def link(path: str, **query: Any) -> str:
    """Write an address with a query; empty values are left out."""
    given = {name.rstrip("_"): _query_value(value) for name, value in query.items() if value not in (None, "", ())}
    return f"{path}?{urlencode(given, safe=':,')}" if given else path


def _query_value(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
