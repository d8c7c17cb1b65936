"""Works through one listing of a stream, page by page, each page one transaction; goes on where it was interrupted."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app import wake
from app.config import Settings
from app.database import session_scope
from app.enums import LogSource, LogType
from app.errors import TwilioRefused, TwilioUnavailable
from app.services.ingest import budget, streams
from app.services.ingest.intake import IngestContext, PageResult, dependent_types, ingest_page
from app.services.ingest.plan import Slice
from app.services.twilio.client import TwilioReader
from app.services.twilio.pages import Page
from app.utils import stopping
from app.utils.crashpoints import crashpoint

MAX_POLL_SECONDS = 200.0
"""A poll that takes longer gives its stream back, and goes on with its next turn."""
ERROR_CAP = 10_000
"""No query of the error log lists more. Source: Twilio's documentation of the Alerts resource."""
RESTART_AFTER_FAILURES = 2
"""After so many failed polls in a row a list that was interrupted is begun anew, if its place still cannot be read."""
MIN_WINDOW = timedelta(seconds=2)

Clock = Callable[[], datetime]
T = TypeVar("T")


class OutOfTime(Exception):
    """A poll has taken long enough, or the worker stops; what it read is stored, and where it goes on is noted."""


def sleep_unless_stopping(seconds: float) -> None:
    """Wait within a poll.

    Raises: OutOfTime where the worker is asked to stop.
    """
    stopping.sleep(seconds)
    if stopping.requested():
        raise OutOfTime


@dataclass
class Poll:
    """What the steps of one poll share."""

    lease: streams.Lease
    reader: TwilioReader
    settings: Settings
    clock: Clock
    sleep: Callable[[float], None]
    started_at: datetime
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_POLL_SECONDS)
    """By the machine's monotonic clock."""
    source: LogSource = LogSource.POLL
    floor: datetime | None = None
    """What was created before it is not asked for."""
    resume_points: dict[str, Any] = field(default_factory=dict)
    swept_at: dict[str, Any] = field(default_factory=dict)
    changes: int = 0
    """How many logs it found that are new or have changed."""

    @property
    def context(self) -> IngestContext:
        """Say where the records come from."""
        floor = self.floor if self.source == LogSource.POLL else None
        return IngestContext(self.lease.account_id, self.lease.log_type, self.source, self.settings, floor)

    def check_time(self) -> None:
        """Stop here where the poll has taken long enough, or the worker stops.

        Raises: OutOfTime.
        """
        if time.monotonic() > self.deadline or stopping.requested():
            raise OutOfTime

    def wait_for_budget(self) -> None:
        """Wait until the request budget has room beyond what is kept for listing what is new.

        Raises: OutOfTime.
        """
        limit = self.settings.twilio_max_requests_per_minute
        while True:
            now = self.clock()
            with session_scope() as session:
                if budget.has_room(session, self.lease.account_id, now, limit):
                    return
                streams.prolong(session, self.lease, now)
                wait = budget.seconds_to_room(session, self.lease.account_id, now)
            if time.monotonic() + wait > self.deadline:
                raise OutOfTime
            self.sleep(wait)


@dataclass(frozen=True)
class Listing:
    """One listing to be worked through."""

    name: str
    """Under which name it is noted where it goes on: `slice`, `sweep` or `backfill`."""
    span: Slice
    keeps_reserve: bool = False
    """It leaves the reserve of the request budget alone."""
    count: Callable[[Session, int], None] = lambda _session, _number: None
    """Told in each page's transaction how many records it had."""


Finish = Callable[[Session, datetime], None]
"""What to note in the transaction of the last page; it is given when the listing began."""


def list_span(poll: Poll, listing: Listing, finish: Finish) -> None:
    """List a span to its end; windows of the error log that hold too many entries are halved.

    Raises: OutOfTime, TwilioError, LeaseLost; where it goes on is noted.
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


def _save_half(poll: Poll, listing: Listing, span: Slice) -> Finish:
    """Note that the older part of a window that was cut is read, so that it need not be read again."""

    def note(session: Session, _began: datetime) -> None:
        if listing.name == "slice" and span.until is not None:
            streams.save_backlog(session, poll.lease, span.until)

    return note


def _record_overflow_gap(poll: Poll, span: Slice, finish: Finish) -> None:
    """Record that more entries fell into a moment than Twilio lists of one."""
    now = poll.clock()
    with session_scope() as session:
        streams.lock(session, poll.lease, (), now)
        reason = f"more than {ERROR_CAP} entries within seconds: Twilio lists no more of them"
        streams.record_gap(session, poll.lease, span.since, span.until or poll.started_at, reason, now)
        finish(session, poll.started_at)


def _list(poll: Poll, listing: Listing, finish: Finish) -> bool:
    """Work through one listing; False where it held more than Twilio lists.

    Calls and messages come newest first: such a listing is left as soon as it is past the span.
    """
    log_type, span = poll.lease.log_type, listing.span
    resume_point = _resumable(poll, listing)
    began = datetime.fromisoformat(resume_point["began"]) if resume_point else poll.started_at
    count: int = resume_point["count"] if resume_point else 0
    for page in _prefetched(_pages(poll, listing, resume_point)):
        crashpoint("poll.page")
        now = poll.clock()
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
    """Say whether a list that comes newest first, unfiltered, has gone back far enough."""
    ordered = log_type != LogType.ERROR and span.until is None
    return ordered and result.back_to is not None and result.back_to < span.since


def _pages(poll: Poll, listing: Listing, resume_point: dict[str, Any] | None) -> Iterator[Page]:
    """Open the list, where it was interrupted or from its start; the head of calls and messages without filters."""
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
            pages = None  # Twilio does not know the place any more, or cannot tell it: begin again.
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
    until = span.until.isoformat() if span.until else None
    bounds = {"since": span.since.isoformat(), "until": until}
    return {**bounds, "began": began.isoformat(), "link": page.next_link, "count": count}


def _resumable(poll: Poll, listing: Listing) -> dict[str, Any] | None:
    """Find where this very listing was interrupted."""
    resume_point: dict[str, Any] | None = poll.resume_points.get(listing.name)
    if resume_point is None:
        return None
    span = listing.span
    same = resume_point["since"] == span.since.isoformat() and resume_point["until"] == (
        span.until.isoformat() if span.until else None
    )
    return resume_point if same else None


def _save_progress(session: Session, poll: Poll, listing: Listing, progress: dict[str, Any] | None) -> None:
    """Note where the listing goes on, or that it is at its end; most listings have one page, and nothing to note."""
    if progress is None and listing.name not in poll.resume_points:
        return
    poll.resume_points = {name: value for name, value in poll.resume_points.items() if name != listing.name}
    if progress is not None:
        poll.resume_points[listing.name] = progress
    streams.save_resume_points(session, poll.lease, poll.resume_points)


def _prefetched(items: Iterator[T]) -> Iterator[T]:
    """Fetch the next item while the caller works on the last one; after the first, more may not be wanted."""
    first = next(items, None)
    if first is None:
        return
    yield first
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item
