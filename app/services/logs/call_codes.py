"""The error codes of calls, which Twilio reports in entries of the error log only."""

from collections import defaultdict

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.bulk import update_rows
from app.enums import LogType
from app.models import Log
from app.services.logs.log_rows import KEY_COLUMNS, NewChange, any_of, load
from app.services.logs.types import NormalizedLog


def is_call_error(log: NormalizedLog) -> bool:
    """Return whether this is an error-level entry about a call, the only source of a call's code."""
    return (
        log.log_type == LogType.ERROR
        and log.level == "error"
        and log.error_code is not None
        and (log.resource_sid or "").startswith("CA")
    )


def error_entries(session: Session, account_id: int, sids: list[str]) -> dict[str, list[tuple[int, str | None]]]:
    """Load the codes and messages of the error-level entries about these calls, oldest first, by call."""
    found: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    if sids:
        rows = session.execute(
            select(Log.resource_sid, Log.error_code, Log.error_message)
            .where(Log.account_id == account_id, any_of(Log.resource_sid, sids))
            .where(Log.log_type == LogType.ERROR, Log.level == "error", Log.error_code.is_not(None))
            .order_by(Log.occurred_at, Log.sid)
        )
        for sid, code, message in rows:
            if sid is not None and code is not None:
                found[sid].append((code, message))
    return found


def assign(session: Session, account_id: int, entries: list[NormalizedLog]) -> list[NewChange]:
    """Create a change of each stored call for every new error entry about it. The newest entry's code applies."""
    entries = sorted(entries, key=lambda entry: (entry.occurred_at, entry.sid))
    sids = sorted({entry.resource_sid for entry in entries if entry.resource_sid})
    calls = load(session, account_id, sids)
    newest_codes = error_entries(session, account_id, list(calls))
    new_changes = []
    for entry in entries:
        if entry.resource_sid in calls:
            call = calls[entry.resource_sid]
            coded = msgspec.structs.replace(call.log, error_code=entry.error_code, error_message=entry.error_message)
            new_changes.append(NewChange(call.id, False, coded))
    rows = [(call.log.occurred_at, call.id, *newest_codes[sid][-1]) for sid, call in calls.items()]
    update_rows(session, "logs", KEY_COLUMNS, {"error_code": "int", "error_message": "text"}, rows)
    return new_changes
