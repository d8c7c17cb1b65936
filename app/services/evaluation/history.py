"""Reads the evaluated versions of stored logs, for warm-ups and previews."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.evaluation.change_queue import VERSION_COLUMNS
from app.services.rules.types import LogVersion

CHUNK = 10_000
"""Number of versions per chunk."""

_READ = text(
    f"""
    SELECT {VERSION_COLUMNS}
    FROM log_changes AS change
    JOIN stream_evaluations AS done ON done.stream_id = change.stream_id AND change.id <= done.change_id
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
    WHERE change.occurred_at >= :since AND change.occurred_at < :until
    ORDER BY change.log_id, change.id
    """
)


def read(session: Session, since: datetime, until: datetime) -> Iterator[list[list[LogVersion]]]:
    """Read the evaluated versions of the logs that occurred in [since, until).

    Returns: chunks of logs, each a list of its versions, oldest first.
    """
    result = session.execute(_READ.execution_options(yield_per=CHUNK), {"since": since, "until": until})
    chunk: list[list[LogVersion]] = []
    size = 0
    for _, rows in groupby(result, key=lambda row: row[1]):
        versions = [LogVersion(*row) for row in rows]
        chunk.append(versions)
        size += len(versions)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
