"""Rereads logs that are not final when they are due: one by one, or whole days if many are due."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

from sqlalchemy import and_, func, or_, select, update
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
    if not many:
        return []
    with session_scope() as session:
        counts = _count_logs(session, poll, many)
    return [day for day in many if counts.get(day, 0) / PAGE < due[day]]


def _count_logs(session: Session, poll: PollRun, days: Sequence[datetime]) -> dict[datetime, int]:
    """Count the stored logs of these days; a day without logs is missing."""
    day = func.date_bin(plan.ONE_DAY, Log.occurred_at, days[0])
    on_one = or_(*(and_(Log.occurred_at >= each, Log.occurred_at < each + plan.ONE_DAY) for each in days))
    query = select(day, func.count()).where(Log.account_id == poll.lease.account_id)
    query = query.where(Log.log_type == poll.lease.log_type, on_one)
    return {row[0]: row[1] for row in session.execute(query.group_by(day))}


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
