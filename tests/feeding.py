"""Puts logs into the store as a poll would, for tests of what comes after it."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from app.config import get_settings
from app.database import session_scope
from app.enums import LogSource, LogType
from app.models import Account, Stream
from app.services.evaluation import change_queue, pipeline
from app.services.ingest import streams
from app.services.logs import log_rows, store
from app.services.logs.types import NormalizedLog
from app.services.twilio.statuses import is_final

ACCOUNT = "AC" + "0" * 32
POLICY = log_rows.StorePolicy(timedelta(hours=72), timedelta(minutes=5), True, datetime(2000, 1, 1).astimezone())


def log(number: int, occurred_at: datetime, **fields: Any) -> NormalizedLog:
    """Make a log: a message that was undelivered with 30003 at the moment of its creation, where not told otherwise."""
    log_type = LogType(fields.pop("log_type", "message"))
    prefix = {"call": "CA", "message": "SM", "error": "NO"}[log_type]
    values: dict[str, Any] = {
        "sid": f"{prefix}{number:032x}",
        "log_type": log_type,
        "status": None if log_type == LogType.ERROR else "undelivered",
        "level": "error" if log_type == LogType.ERROR else None,
        "direction": "outbound-api",
        "from_": "+14155550100",
        "to": "+447700900123",
        "to_country": "GB",
        "error_code": 30003,
        "error_message": None,
        "text": "hello",
        "price": Decimal("-0.0075"),
        "price_unit": "USD",
        "duration_seconds": None,
        "segments": 1,
        "messaging_service_sid": None,
        "resource_sid": None,
        "occurred_at": occurred_at,
        "changed_at": occurred_at,
        "updated_at": fields.get("changed_at", occurred_at),
        "sent_at": occurred_at,
        "rest": None,
    } | fields
    values.setdefault("final", is_final(log_type, values["status"]))
    values.setdefault("content_hash", hash(repr(sorted(values.items(), key=lambda item: item[0]))))
    return NormalizedLog(**values)


class Feed:
    """A watched account whose logs come from the test."""

    def __init__(self, started_at: datetime, sid: str = ACCOUNT) -> None:
        with session_scope() as session:
            account = Account(sid=sid, started_at=started_at)
            session.add(account)
            session.flush()
            streams.create_for(session, account, started_at)
            self.account_id = account.id
            query = select(Stream).where(Stream.account_id == account.id)
            self.stream_ids = {row.log_type: row.id for row in session.scalars(query)}

    def store(self, logs: Sequence[NormalizedLog], now: datetime) -> None:
        """Store a page of logs of one type."""
        with session_scope() as session:
            stream_ids = {
                row.log_type: row.id
                for row in session.scalars(select(Stream).where(Stream.account_id == self.account_id).with_for_update())
            }
            known = log_rows.lookup(session, self.account_id, [each.sid for each in logs])
            store.save(session, self.account_id, stream_ids, logs, known, LogSource.POLL, now, POLICY)

    def complete(self, until: datetime, since: datetime | None = None) -> None:
        """Say that all streams are read whole up to a moment."""
        values: dict[str, Any] = {"complete_until": until, "last_success_at": until, "failures": 0}
        if since is not None:
            values["complete_from"] = values["first_from"] = since
        with session_scope() as session:
            session.execute(update(Stream).where(Stream.account_id == self.account_id).values(**values))


def evaluate(now: datetime) -> None:
    """Evaluate all that waits, and what depends on time."""
    with session_scope() as session:
        waiting = change_queue.pending_streams(session)
    for stream_id in waiting:
        while pipeline.evaluate_batch(stream_id, get_settings(), now):
            pass
    pipeline.evaluate_time(get_settings(), now, math.inf)
