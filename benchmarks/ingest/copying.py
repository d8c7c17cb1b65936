"""The reference: the same records copied into a bare table."""

import time
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from io import StringIO
from typing import Any

import orjson
from sqlalchemy import text

from app.database import session_scope
from app.enums import LogType
from app.services.twilio.client import TwilioReader
from app.utils.clock import utc_now

COLUMNS = {
    "sid": "text",
    "status": "text",
    "direction": "text",
    "from": "text",
    "to": "text",
    "body": "text",
    "error_code": "int",
    "num_segments": "int",
    "price": "numeric",
    "price_unit": "text",
    "date_created": "timestamptz",
    "date_sent": "timestamptz",
    "date_updated": "timestamptz",
}


def read_rows(reader: TwilioReader) -> list[str]:
    """List all messages as rows for COPY; the last column is the raw record."""
    since = utc_now() - timedelta(days=2)
    return [_row(bytes(record)) for page in reader.list_pages(LogType.MESSAGE, since=since) for record in page.records]


def _row(record: bytes) -> str:
    fields = orjson.loads(record)
    return "\t".join([*(_written(name, fields[name]) for name in COLUMNS), _escaped(record.decode())])


def _written(name: str, value: Any) -> str:
    if value is None:
        return r"\N"
    return _moment(value) if name.startswith("date_") else _escaped(str(value))


@lru_cache(maxsize=100_000)
def _moment(value: str) -> str:
    return parsedate_to_datetime(value).isoformat()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def copy_seconds(rows: Sequence[str], *, raw: bool) -> float:
    """Copy the rows into a table without an index, in one transaction; return the seconds."""
    written = "\n".join(rows if raw else [row.rpartition("\t")[0] for row in rows])
    columns = COLUMNS | ({"raw": "jsonb"} if raw else {})
    with session_scope() as session:
        session.execute(text("DROP TABLE IF EXISTS bare"))
        session.execute(text("CREATE TABLE bare (" + ", ".join(f'"{name}" {columns[name]}' for name in columns) + ")"))
    began = time.perf_counter()
    with session_scope() as session:
        session.connection().connection.cursor().copy_expert("COPY bare FROM STDIN", StringIO(written))
    return time.perf_counter() - began
