"""Fetches the request and response of an error-log entry, which Twilio's list omits."""

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import session_scope
from app.enums import LogType
from app.errors import TwilioError, TwilioRateLimited
from app.models import Log
from app.services.ingest import budget
from app.services.ingest.credentials import load
from app.services.ingest.reader import Runtime, open_reader
from app.utils.clock import utc_now

FIELDS = ("request_variables", "request_headers", "response_headers", "response_body")
"""Source: Twilio's OpenAPI, monitor.v1.alert-instance. A list of alerts omits them."""
MAX_WAIT_SECONDS = 5.0
MAX_FIELD_LENGTH = 64 * 1024

log = structlog.get_logger()


def fetch_once(account_id: int, sid: str, settings: Settings) -> None:
    """Fetch the details of an entry once, and store them with it. If Twilio does not return them now, nothing happens.

    They contain message text: if bodies are not stored, they are not fetched.
    """
    if not settings.store_message_bodies:
        return
    with session_scope() as session:
        entry = _find(session, account_id, sid)
        if entry is None or FIELDS[0] in _rest(entry):
            return
    try:
        details = _read(account_id, sid, settings)
    except TwilioError as error:
        log.info("the details of an error entry could not be read", reason=error.reason)
        return
    with session_scope() as session:
        entry = _find(session, account_id, sid)
        if entry is not None:
            entry.rest = msgspec.json.encode(_rest(entry) | details)


def _find(session: Session, account_id: int, sid: str) -> Log | None:
    query = select(Log).where(Log.account_id == account_id, Log.sid == sid, Log.log_type == LogType.ERROR)
    return session.scalar(query)


def _rest(entry: Log) -> dict[str, object]:
    return msgspec.json.decode(entry.rest, type=dict[str, object]) if entry.rest else {}


def _read(account_id: int, sid: str, settings: Settings) -> dict[str, str | None]:
    """Ask Twilio once, with a short timeout: a user is waiting."""

    def before_request() -> None:
        with session_scope() as session:
            if not budget.consume(session, account_id, utc_now(), settings.twilio_max_requests_per_minute):
                raise TwilioRateLimited("the account's request budget of this minute is spent", 60.0)

    with session_scope() as session:
        credentials = load(session, account_id, settings)
    runtime = Runtime(settings)
    with open_reader(credentials, before_request, runtime, tries=1, timeout_seconds=MAX_WAIT_SECONDS) as reader:
        record = reader.read_one(LogType.ERROR, sid)
    if record is None:
        return dict.fromkeys(FIELDS)
    details = msgspec.json.decode(record, type=dict[str, object])
    return {name: _text(details.get(name)) for name in FIELDS}


def _text(value: object) -> str | None:
    return value[:MAX_FIELD_LENGTH] if isinstance(value, str) else None
