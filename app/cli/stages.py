"""`poll`, `evaluate` and `deliver` run one stage once; `backfill` reads the past again."""

import asyncio
import sys
import time
from datetime import timedelta
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.output import SinceOption, UntilOption, console, fail, parse_time, print_line
from app.config import get_settings
from app.database import session_scope
from app.errors import NotFound
from app.services.alerts.withholding import withheld
from app.services.evaluation import pipeline
from app.services.ingest import account_admin, accounts, backfills, polling, streams
from app.services.outbox import dispatch
from app.services.reports import due as due_reports
from app.utils.clock import rfc3339, utc_now
from app.utils.quantities import counted

EVALUATION_SECONDS = 3600.0
POLL_INTERVAL_SECONDS = 0.5


def poll() -> None:
    """Poll every stream of every account now, due or not."""
    settings = get_settings()
    with session_scope() as session:
        now = utc_now()
        accounts.ensure_for_command(session, settings, now)
        streams.make_due(session, now)
        due = streams.due(session, now)
    for stream_id in due:
        polling.poll(stream_id, settings)
    with session_scope() as session:
        states = streams.stream_statuses(session)
    for state in states:
        print_line(f"{state.account_sid} {state.log_type}: {_outcome(state)}")
    if not states:
        print_line("No account is watched: set TWILIO_ACCOUNT_SID and its credentials.")
    if not states or any(state.last_error and not state.unavailable for state in states):
        raise typer.Exit(1)


def _outcome(state: streams.StreamStatus) -> str:
    """Return what polling a stream came to, in words."""
    if state.unavailable:
        return f"unavailable: {state.unavailable_reason or 'the credentials cannot read it'}"
    if state.last_error:
        return f"failed: {state.last_error}"
    return f"complete until {rfc3339(state.complete_until)}" if state.complete_until else "not read yet"


def evaluate() -> None:
    """Evaluate all pending changes, and the conditions that depend on time."""
    count = pipeline.evaluate_changes(get_settings(), EVALUATION_SECONDS)
    pipeline.evaluate_time(get_settings(), utc_now(), EVALUATION_SECONDS)
    print_line(f"{counted(count, 'change')} evaluated")


def deliver() -> None:
    """Create the reports that are due, and send every delivery that is due."""
    due_reports.make_due(get_settings(), utc_now())
    count = 0
    with asyncio.Runner() as runner:
        while sent := dispatch.deliver_due(get_settings(), runner, withheld):
            count += sent
    print_line(f"{counted(count, 'delivery', 'deliveries')} attempted")


def backfill(
    since: SinceOption,
    until: UntilOption = "0m",
    account: Annotated[str | None, typer.Option(help="The SID of one account; default: all accounts.")] = None,
) -> None:
    """Read a span of the past again, without alerts. If it is interrupted, the next polls finish it."""
    settings = get_settings()
    with session_scope() as session:
        now = utc_now()
        accounts.ensure_for_command(session, settings, now)
        watched = account_admin.enabled_ids(session, account)
        if not watched:
            raise NotFound("no such account is watched: set TWILIO_ACCOUNT_SID, or add it through the API")
        span, retention = (parse_time(since, now), parse_time(until, now)), timedelta(days=settings.retention_days)
        requested = [one.id for each in watched for one in backfills.request(session, each, *span, now, retention)]
        if not requested:
            raise NotFound("Twilio closed these accounts: nothing of them can be read")
    try:
        failed = _show_progress(requested)
    except KeyboardInterrupt:
        sys.exit(fail("interrupted: what was read is kept, and the next polls finish it", 130))
    for error in failed:
        print_line(f"failed: {error}")
    if failed:
        raise typer.Exit(1)


def _show_progress(requested: list[int]) -> list[str]:
    """Poll, beside the workers, until everything is read; return the errors."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    count = TextColumn("{task.fields[records]:,} records read")
    with Progress(*columns, count, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("Reading", total=1.0, records=0)
        while True:
            with session_scope() as session:
                found = backfills.progress(session, requested)
                bar.update(task, completed=found.share, records=found.records)
                if not found.waiting:
                    return found.errors
                streams.make_due(session, utc_now(), ids=found.waiting)
            polled = [polling.poll(stream_id, get_settings()) for stream_id in sorted(found.waiting)]
            if not any(polled):
                time.sleep(POLL_INTERVAL_SECONDS)
