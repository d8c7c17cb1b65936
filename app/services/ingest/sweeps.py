"""Lists a stream again at growing distances to find late logs, and lists recently ended calls."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.database import session_scope
from app.enums import LogType
from app.services.ingest import plan, streams
from app.services.ingest.listing import Listing, list_span
from app.services.ingest.plan import Slice
from app.services.ingest.poll_run import OutOfTime, PollRun

MAX_EXTENDED_HEAD = timedelta(hours=2)


def sweep(poll: PollRun) -> bool:
    """Run the sweeps that are due.

    Returns: True if the request budget or the time did not suffice.
    """
    try:
        _sweep_back(poll)
        if poll.lease.log_type == LogType.CALL and plan.ended_sweep_is_due(poll.swept_at, poll.now()):
            _sweep_ended(poll)
    except OutOfTime:
        return True
    return False


def extended_for_sweep(poll: PollRun, head: Slice) -> Slice:
    """Extend the head so that it covers the nearest due sweep: one listing is cheaper than two."""
    if head.until is not None or poll.resume_points:
        return head
    depth = _due(poll)
    return head if depth is None or depth > MAX_EXTENDED_HEAD else Slice(min(head.since, _since(poll, depth)), None)


def record_sweep(session: Session, poll: PollRun, since: datetime, began: datetime) -> None:
    """Record that the list was read back to `since`: by a sweep, or by a head that reached as far."""
    swept_at = plan.record_sweep(poll.swept_at, None if since <= _oldest(poll) else since, began, max_sweep_depth(poll))
    if swept_at != poll.swept_at:
        poll.swept_at = swept_at
        streams.save_sweeps(session, poll.lease, swept_at)


def max_sweep_depth(poll: PollRun) -> timedelta:
    """Return how far back sweeps go."""
    return timedelta(hours=poll.settings.settle_hours)


def _sweep_back(poll: PollRun) -> None:
    """Continue an interrupted sweep, or begin the one that is due."""
    resume_point = poll.resume_points.get("sweep")
    if resume_point:
        since = datetime.fromisoformat(resume_point["since"])
    else:
        depth = _due(poll)
        if depth is None:
            return
        since = _since(poll, depth)

    def finish(session: Session, began: datetime) -> None:
        record_sweep(session, poll, since, began)

    list_span(poll, Listing("sweep", Slice(since, None), keeps_reserve=True), finish)


def _due(poll: PollRun) -> timedelta | None:
    next_poll = poll.started_at + timedelta(seconds=poll.settings.poll_interval_seconds)
    return plan.due_sweep(poll.swept_at, poll.started_at, next_poll, max_sweep_depth(poll))


def _since(poll: PollRun, depth: timedelta) -> datetime:
    return max(plan.sweep_since(poll.swept_at, depth, poll.started_at, max_sweep_depth(poll)), _oldest(poll))


def _oldest(poll: PollRun) -> datetime:
    """Return the earliest time worth listing: the start of the watch or Twilio's history limit."""
    oldest_listed = poll.started_at - plan.HISTORY[poll.lease.log_type]
    return oldest_listed if poll.floor is None else max(oldest_listed, poll.floor)


def _sweep_ended(poll: PollRun) -> None:
    """List the calls that ended since yesterday, including those that began before any other listing."""
    poll.ingest_pages(poll.reader.list_pages(LogType.CALL, since=poll.started_at - plan.ONE_DAY, by_end=True))
    poll.swept_at = {**poll.swept_at, "ended": poll.started_at.isoformat()}
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.now())
        streams.save_sweeps(session, poll.lease, poll.swept_at)
