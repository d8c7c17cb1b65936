"""The fields of a log, once: their names in the API, in values and in tables. Pure.

COPY, SELECTs, JSON, filters and expressions are built from this table. What identifies and dates a log (`sid`,
`account_sid`, `log_type`, `occurred_at`, `changed_at`, `final`) is not in it: each of them is a case of its own.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple


class LogField(NamedTuple):
    """One field of what Twilio says about a log; it may be missing."""

    name: str
    """In the API, in rules and in expressions."""
    attribute: str
    """Of `NormalizedLog` and `LogVersion`."""
    column: str
    """Of the table `logs`."""
    sql_type: str
    in_changes: bool
    """Each change of a log has its own; the others are read from the log."""
    filterable: bool
    """Lists of logs can be filtered by it."""
    tallied: bool
    """Hourly tallies count each of its values apart."""


def _field(
    name: str, sql_type: str = "text", *, in_changes: bool = False, filterable: bool = False, tallied: bool = False
) -> LogField:
    # `from` is a keyword of Python and SQL, `to` and `text` are keywords of SQL.
    attribute = "from_" if name == "from" else name
    column = f"{name}_" if name in ("from", "to", "text") else name
    return LogField(name, attribute, column, sql_type, in_changes, filterable, tallied)


FIELDS = (
    _field("status", in_changes=True, filterable=True, tallied=True),
    _field("level", filterable=True, tallied=True),
    _field("direction", filterable=True, tallied=True),
    _field("from", in_changes=True, filterable=True),
    _field("to", filterable=True),
    _field("to_country", filterable=True, tallied=True),
    _field("error_code", "int", in_changes=True, filterable=True, tallied=True),
    _field("error_message", in_changes=True),
    _field("text"),
    _field("price", "numeric", in_changes=True),
    _field("price_unit"),
    _field("duration_seconds", "int", in_changes=True),
    _field("segments", "int", in_changes=True),
    _field("messaging_service_sid", filterable=True, tallied=True),
    _field("resource_sid"),
)
"""In the order of `LogVersion`, and of the API's JSON."""
NAMES = tuple(field.name for field in FIELDS)
ATTRIBUTES = tuple(field.attribute for field in FIELDS)
COLUMNS: Mapping[str, str] = {field.column: field.sql_type for field in FIELDS}
"""Columns of `logs` to their SQL types."""
CHANGE_COLUMNS = tuple(field.column for field in FIELDS if field.in_changes)
"""Columns of `log_changes`, where they have the same names."""

values_of = attrgetter(*ATTRIBUTES)
"""The values of a `NormalizedLog` or `LogVersion`, in the order of `FIELDS`."""
columns_of = attrgetter(*COLUMNS)
"""The values of a row of `logs`, in the order of `FIELDS`."""
changing_values_of = attrgetter(*(field.attribute for field in FIELDS if field.in_changes))
"""The values of a `NormalizedLog` in the order of `CHANGE_COLUMNS`."""


def shown(values: tuple[Any, ...]) -> dict[str, Any]:
    """Return the values of all fields as JSON. The price is a decimal text: a float would change the amount."""
    found = dict(zip(NAMES, values, strict=True))
    if found["price"] is not None:
        found["price"] = format(found["price"], "f")
    return found


def version_columns(changing: str) -> str:
    """List the columns of `logs AS log` in the order of `FIELDS`.

    Args:    changing: the table or alias that those of the changes are read from.
    """
    return ", ".join(f"{changing if field.in_changes else 'log'}.{field.column}" for field in FIELDS)
