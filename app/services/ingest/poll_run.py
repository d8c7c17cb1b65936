"""One poll of a stream: what its steps share, and how they ingest records that belong to no listing."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from app import wake
from app.config import Settings
from app.database import session_scope
from app.enums import LogSource
from app.services.ingest import budget, streams
from app.services.ingest.context import IngestContext, dependent_types
from app.services.ingest.intake import ingest_page
from app.services.ingest.reader import Runtime
from app.services.twilio.client import TwilioReader
from app.services.twilio.pages import Page
from app.utils import stopping
from app.utils.crashpoints import crashpoint

MAX_POLL_SECONDS = 200.0
"""A poll that takes longer releases its stream and continues at its next turn."""


class OutOfTime(Exception):
    """The poll's time is up, or the worker is stopping. What was read is stored, and so is the resume point."""


def sleep_unless_stopping(seconds: float) -> None:
    """Sleep within a poll.

    Raises: OutOfTime if the worker is stopping.
    """
    stopping.sleep(seconds)
    if stopping.requested():
        raise OutOfTime


@dataclass
class PollRun:
    """Shared state of the steps of one poll."""

    lease: streams.Lease
    reader: TwilioReader
    runtime: Runtime
    started_at: datetime
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_POLL_SECONDS)
    """In monotonic time."""
    source: LogSource = LogSource.POLL
    floor: datetime | None = None
    """Unknown logs that ended before this are ignored."""
    resume_points: dict[str, Any] = field(default_factory=dict)
    swept_at: dict[str, Any] = field(default_factory=dict)
    changes: int = 0
    """The number of new or changed logs."""

    def now(self) -> datetime:
        """Return the current UTC time."""
        return self.runtime.clock()

    @property
    def settings(self) -> Settings:
        """The settings of this poll's runtime."""
        return self.runtime.settings

    @property
    def context(self) -> IngestContext:
        """The ingest context of this poll's records."""
        floor = self.floor if self.source == LogSource.POLL else None
        return IngestContext(self.lease.account_id, self.lease.log_type, self.source, self.settings, floor)

    def check_time(self) -> None:
        """Stop if the poll's time is up or the worker is stopping.

        Raises: OutOfTime.
        """
        if time.monotonic() > self.deadline or stopping.requested():
            raise OutOfTime

    def wait_for_budget(self) -> None:
        """Wait until requests remain beyond the reserve for new logs.

        Raises: OutOfTime.
        """
        limit = self.settings.twilio_max_requests_per_minute
        while True:
            now = self.now()
            with session_scope() as session:
                if budget.has_room(session, self.lease.account_id, now, limit):
                    return
                streams.prolong(session, self.lease, now)
                wait = budget.seconds_to_room(session, self.lease.account_id, now)
            if time.monotonic() + wait > self.deadline:
                raise OutOfTime
            self.runtime.sleep(wait)

    def ingest_pages(self, pages: Iterator[Page]) -> None:
        """Ingest pages that no span is recorded for, and leave the reserve of the request budget unused.

        Raises: OutOfTime, TwilioError, LeaseLost.
        """
        while True:
            self.check_time()
            self.wait_for_budget()
            page = next(pages, None)
            if page is None:
                return
            self.ingest(page.records)

    def ingest(self, records: Sequence[msgspec.Raw]) -> None:
        """Ingest records in a transaction of their own.

        Raises: LeaseLost.
        """
        now = self.now()
        with session_scope() as session:
            stream_ids = streams.lock(session, self.lease, dependent_types(self.lease.log_type), now)
            changes = ingest_page(session, self.context, stream_ids, records, now).changes
            crashpoint("reread.before_commit")
        crashpoint("reread.after_commit")
        self.changes += changes
        if changes:
            wake.evaluate()
