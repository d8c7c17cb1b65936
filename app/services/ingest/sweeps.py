"""Lists a stream again, at growing distances, for what became visible late; and the calls that ended lately."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app import wake
from app.database import session_scope
from app.enums import LogType
from app.services.ingest import plan, streams
from app.services.ingest.intake import also_locked, take_in
from app.services.ingest.listing import Listing, OutOfTime, Poll, work_through
from app.services.ingest.plan import Slice

WIDEST_HEAD = timedelta(hours=2)


def sweep(poll: Poll) -> bool:
    """List again whatever is due.

    Returns: True where the request budget or the time did not reach for all of it.
    """
    try:
        _sweep_back(poll)
        if poll.lease.log_type == LogType.CALL and plan.ended_sweep_is_due(poll.swept_at, poll.clock()):
            _sweep_ended(poll)
    except OutOfTime:
        return True
    return False


def widened(poll: Poll, head: Slice) -> Slice:
    """Let the head of the list do for the nearest sweep that is due: one listing is cheaper than two."""
    if head.until is not None or poll.reading:
        return head
    depth = _due(poll)
    return head if depth is None or depth > WIDEST_HEAD else Slice(min(head.since, _since(poll, depth)), None)


def note_head(session: Session, poll: Poll, since: datetime, began: datetime) -> None:
    """Note that the head of the list, read back to `since`, was a sweep as well."""
    fresh = plan.swept(poll.swept_at, None if since <= _oldest(poll) else since, began, farthest(poll))
    if fresh != poll.swept_at:
        poll.swept_at = fresh
        streams.note_sweeps(session, poll.lease, fresh)


def farthest(poll: Poll) -> timedelta:
    """Say how far back sweeps go."""
    return timedelta(hours=poll.settings.settle_hours)


def _sweep_back(poll: Poll) -> None:
    """Go on with a sweep that was interrupted, or begin the one that is due."""
    noted = poll.reading.get("sweep")
    if noted:
        since = datetime.fromisoformat(noted["since"])
    else:
        depth = _due(poll)
        if depth is None:
            return
        since = _since(poll, depth)

    def finish(session: Session, began: datetime) -> None:
        note_head(session, poll, since, began)

    work_through(poll, Listing("sweep", Slice(since, None), polite=True), finish)


def _due(poll: Poll) -> timedelta | None:
    next_poll = poll.started_at + timedelta(seconds=poll.settings.poll_interval_seconds)
    return plan.due_sweep(poll.swept_at, poll.started_at, next_poll, farthest(poll))


def _since(poll: Poll, depth: timedelta) -> datetime:
    return max(plan.sweep_since(poll.swept_at, depth, poll.started_at, farthest(poll)), _oldest(poll))


def _oldest(poll: Poll) -> datetime:
    """Say from when on there is anything to list: since the watch began, and as far back as Twilio tells."""
    told = poll.started_at - plan.REACH[poll.lease.log_type]
    return told if poll.floor is None else max(told, poll.floor)


def _sweep_ended(poll: Poll) -> None:
    """List the calls that ended since yesterday: those that began before any other listing are among them."""
    pages = poll.reader.list_pages(LogType.CALL, since=poll.started_at - plan.ONE_DAY, by_end=True)
    while True:
        poll.check_time()
        poll.await_room()
        page = next(pages, None)
        if page is None:
            break
        now = poll.clock()
        with session_scope() as session:
            stream_ids = streams.lock(session, poll.lease, also_locked(LogType.CALL), now)
            changes = take_in(session, poll.origin, stream_ids, page.records, now).changes
        poll.changes += changes
        if changes:
            wake.evaluate()
    poll.swept_at = {**poll.swept_at, "ended": poll.started_at.isoformat()}
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.clock())
        streams.note_sweeps(session, poll.lease, poll.swept_at)
