"""Streams logs as CSV, for the API and the console."""

from collections.abc import Iterator

from fastapi.responses import StreamingResponse

from app.api.csv_text import lines
from app.api.schemas.logs import Log, LogQuery
from app.database import session_scope
from app.services.logs import search
from app.services.paging import Position
from app.services.serializers import log_json

CHUNK_ROWS = 2_000
HEADERS = {"Content-Disposition": 'attachment; filename="logs.csv"'}


def download(query: LogQuery) -> StreamingResponse:
    """Stream all logs that match, newest first. The first line names the fields."""
    text, older = _chunk(query, None)  # before the response starts: an error can still be reported

    def stream() -> Iterator[str]:
        yield lines([[field.alias or name for name, field in Log.model_fields.items()]]) + text
        position = older
        while position is not None:
            more, position = _chunk(query, position)
            yield more

    return StreamingResponse(stream(), headers=HEADERS, media_type="text/csv; charset=utf-8")


def _chunk(query: LogQuery, position: Position | None) -> tuple[str, Position | None]:
    """Read the next rows as CSV, and their end position. No connection stays open while a slow client downloads."""
    with session_scope() as session:
        page = search.list_logs(session, query.to_filter(), position, CHUNK_ROWS)
        return lines([*log_json(row).values()] for row in page.items), page.older
