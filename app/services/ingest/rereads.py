"""Rereads logs that are not final when they are due: one by one, or whole days if many are due."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.enums import LogType
from app.models import Log
from app.services.ingest import plan, streams
from app.services.ingest.poll_run import OutOfTime, PollRun

MAX_SINGLE_READS = 25
"""If more logs of one day are due, the day is listed instead, provided that costs fewer requests."""
PAGE = 1000
MAX_BATCH = 20_000


def run_rereads(poll: PollRun) -> bool:
    """Reread the logs that are due before the next poll.

    Returns: True if the request budget or the time did not suffice.
    """
    if poll.lease.log_type == LogType.ERROR:
        return False
    try:
        for day in _days_to_list(poll):
            _list_day(poll, day)
        # Listings by day omit messages that were never sent; those are read by their SIDs.
        for sid, _ in _due(poll):
            _read_one(poll, sid)
    except OutOfTime:
        return True
    return False


def _due(poll: PollRun) -> list[tuple[str, datetime]]:
    """List the logs that are due before the next poll, most urgent first, as (SID, sending time)."""
    until = poll.now() + timedelta(seconds=poll.settings.poll_interval_seconds)
    lease = poll.lease
    query = select(Log.sid, func.coalesce(Log.sent_at, Log.occurred_at))
    query = query.where(Log.account_id == lease.account_id, Log.log_type == lease.log_type, Log.reread_at <= until)
    # Logs that this poll has read are due only after it.
    query = query.where(Log.read_at < poll.started_at).order_by(Log.reread_at).limit(MAX_BATCH)
    with session_scope() as session:
        return [(sid, sent_at) for sid, sent_at in session.execute(query)]


def _days_to_list(poll: PollRun) -> list[datetime]:
    """Choose days that cost fewer requests to list than reading their due logs one by one."""
    due = Counter(datetime.combine(sent_at.astimezone(UTC).date(), time_of_day(), UTC) for _, sent_at in _due(poll))
    many = sorted(day for day, count in due.items() if count > MAX_SINGLE_READS)
    with session_scope() as session:
        return [day for day in many if _logs_of(session, poll, day) / PAGE < due[day]]


def _logs_of(session: Session, poll: PollRun, day: datetime) -> int:
    query = select(func.count()).where(Log.account_id == poll.lease.account_id, Log.log_type == poll.lease.log_type)
    return session.scalar(query.where(Log.occurred_at >= day, Log.occurred_at < day + plan.ONE_DAY)) or 0


def _list_day(poll: PollRun, day: datetime) -> None:
    poll.ingest_pages(poll.reader.list_pages(poll.lease.log_type, since=day, until=day + plan.ONE_DAY))


def _read_one(poll: PollRun, sid: str) -> None:
    poll.check_time()
    poll.wait_for_budget()
    record = poll.reader.read_one(poll.lease.log_type, sid)
    if record is None:
        _stop_rereading(poll, sid)
    else:
        poll.ingest([record])


def _stop_rereading(poll: PollRun, sid: str) -> None:
    """Stop rereading a log that Twilio no longer has. The stored log is kept."""
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.now())
        gone = update(Log).where(Log.account_id == poll.lease.account_id, Log.sid == sid).values(reread_at=None)
        session.execute(gone)
