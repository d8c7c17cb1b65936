"""Reads one listing of a stream page by page, one transaction per page. Continues where it was interrupted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app import wake
from app.database import session_scope
from app.enums import LogType
from app.errors import TwilioRefused, TwilioUnavailable
from app.services.ingest import streams
from app.services.ingest.context import dependent_types
from app.services.ingest.intake import PageResult, ingest_page
from app.services.ingest.plan import Slice
from app.services.ingest.poll_run import PollRun
from app.services.twilio.pages import Page
from app.utils.crashpoints import crashpoint
from app.utils.prefetch import prefetched

ERROR_CAP = 10_000
"""The most entries a query of the error log returns. Source: Twilio's documentation of the Alerts resource."""
RESTART_AFTER_FAILURES = 2
"""After this many failed polls in a row, an interrupted listing restarts if its resume point still cannot be read."""
MIN_WINDOW = timedelta(seconds=2)


@dataclass(frozen=True)
class Listing:
    """One listing to read."""

    name: str
    """The name of its resume point: `slice`, `sweep` or `backfill`."""
    span: Slice
    keeps_reserve: bool = False
    """Leaves the reserve of the request budget unused."""
    count: Callable[[Session, int], None] = lambda _session, _number: None
    """Called in each page's transaction with its number of records."""


Finish = Callable[[Session, datetime], None]
"""Runs in the transaction of the last page with the time when the listing began."""


def list_span(poll: PollRun, listing: Listing, finish: Finish) -> None:
    """List a span completely. Error-log windows that exceed Twilio's cap are halved.

    Raises: OutOfTime, TwilioError, LeaseLost; the resume point is stored.
    """
    spans = [listing.span]
    while spans:
        span = spans.pop()
        last = finish if not spans else _save_half(poll, listing, span)
        if _list(poll, replace(listing, span=span), last):
            continue
        middle = span.since + ((span.until or poll.started_at) - span.since) / 2
        if middle - span.since < MIN_WINDOW / 2:
            _record_overflow_gap(poll, span, last)
        else:
            spans += [Slice(middle, span.until), Slice(span.since, middle)]


def _save_half(poll: PollRun, listing: Listing, span: Slice) -> Finish:
    """Record that the older half of a window was read, so that it is not read again."""

    def note(session: Session, _began: datetime) -> None:
        if listing.name == "slice" and span.until is not None:
            streams.save_backlog(session, poll.lease, span.until)

    return note


def _record_overflow_gap(poll: PollRun, span: Slice, finish: Finish) -> None:
    """Record a coverage gap: one moment holds more entries than Twilio lists."""
    now = poll.now()
    with session_scope() as session:
        streams.lock(session, poll.lease, (), now)
        reason = f"more than {ERROR_CAP} entries within seconds: Twilio does not list the rest"
        streams.record_gap(session, poll.lease, span.since, span.until or poll.started_at, reason, now)
        finish(session, poll.started_at)


def _list(poll: PollRun, listing: Listing, finish: Finish) -> bool:
    """Read one listing. False if it exceeded Twilio's cap.

    Calls and messages are listed newest first: such a listing ends once it has passed the span.
    """
    log_type, span = poll.lease.log_type, listing.span
    resume_point = _resumable(poll, listing)
    began = datetime.fromisoformat(resume_point["began"]) if resume_point else poll.started_at
    count: int = resume_point["count"] if resume_point else 0
    for page in prefetched(_pages(poll, listing, resume_point)):
        crashpoint("poll.page")
        now = poll.now()
        with session_scope() as session:
            stream_ids = streams.lock(session, poll.lease, dependent_types(log_type), now)
            result = ingest_page(session, poll.context, stream_ids, page.records, now)
            count += len(page.records)
            listing.count(session, len(page.records))
            done = not page.has_next or _is_past(log_type, span, result)
            capped = done and log_type == LogType.ERROR and count >= ERROR_CAP
            _save_progress(session, poll, listing, None if done else _progress(span, began, page, count))
            if done and not capped:
                finish(session, began)
            crashpoint("poll.before_commit")
        crashpoint("poll.after_commit")
        poll.changes += result.changes
        if result.changes:
            wake.evaluate()
        if done:
            return not capped
        poll.check_time()
    return True


def _is_past(log_type: LogType, span: Slice, result: PageResult) -> bool:
    """Return whether an unfiltered newest-first list has passed the start of the span."""
    ordered = log_type != LogType.ERROR and span.until is None
    return ordered and result.back_to is not None and result.back_to < span.since


def _pages(poll: PollRun, listing: Listing, resume_point: dict[str, Any] | None) -> Iterator[Page]:
    """Open the list at its resume point or at its start. The head of calls and messages has no filters."""
    log_type, span = poll.lease.log_type, listing.span
    filtered = span.until is not None or log_type == LogType.ERROR
    since = span.since if filtered else None
    pages = None
    if resume_point:
        pages = poll.reader.list_pages(log_type, since=since, until=span.until, start=resume_point["link"])
        try:
            first = next(pages)
        except (TwilioRefused, TwilioUnavailable) as error:
            if isinstance(error, TwilioUnavailable) and poll.lease.failures < RESTART_AFTER_FAILURES:
                raise
            pages = None  # Twilio no longer knows the resume point, or cannot list it: start again.
        else:
            yield first
    if pages is None:
        pages = poll.reader.list_pages(log_type, since=since, until=span.until)
    while True:
        if listing.keeps_reserve:
            poll.wait_for_budget()
        page = next(pages, None)
        if page is None:
            return
        yield page


def _progress(span: Slice, began: datetime, page: Page, count: int) -> dict[str, Any]:
    return {**_bounds(span), "began": began.isoformat(), "link": page.next_link, "count": count}


def _bounds(span: Slice) -> dict[str, str | None]:
    return {"since": span.since.isoformat(), "until": span.until.isoformat() if span.until else None}


def _resumable(poll: PollRun, listing: Listing) -> dict[str, Any] | None:
    """Find this listing's resume point."""
    resume_point: dict[str, Any] | None = poll.resume_points.get(listing.name)
    if resume_point is None or resume_point | _bounds(listing.span) != resume_point:
        return None
    return resume_point


def _save_progress(session: Session, poll: PollRun, listing: Listing, progress: dict[str, Any] | None) -> None:
    """Store the resume point, or that the listing is complete. Most listings have one page and need neither."""
    if progress is None and listing.name not in poll.resume_points:
        return
    poll.resume_points = {name: value for name, value in poll.resume_points.items() if name != listing.name}
    if progress is not None:
        poll.resume_points[listing.name] = progress
    streams.save_resume_points(session, poll.lease, poll.resume_points)
