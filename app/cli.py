"""The third door: each stage once by hand, for operators who want to see it work."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from app.config import get_settings
from app.database import session_scope
from app.errors import ConfigError, GiftPulseError
from app.models import Stream
from app.services import evaluation
from app.services.ingest import accounts, polling, streams
from app.services.outbox import dispatch
from app.utils.clock import utc_now
from app.utils.logging import configure_logging

cli = typer.Typer(help="GiftPulse: watches Twilio accounts.", no_args_is_help=True, add_completion=False)
console = Console()
EVALUATION_SECONDS = 3600.0


@cli.command()
def poll() -> None:
    """Poll every stream of every account now, due or not."""
    settings, now = get_settings(), utc_now()
    with session_scope() as session:
        accounts.ensure_environment_account(session, settings, now)
        session.execute(update(Stream).values(due_at=now))
        due = streams.due(session, now)
    for stream_id in due:
        polling.poll(stream_id, settings)
    with session_scope() as session:
        states = streams.states(session)
    for state in states:
        outcome = f"failed: {state.last_error}" if state.last_error else f"complete until {state.complete_until}"
        console.print(f"{state.account_sid} {state.log_type}: {outcome}", highlight=False, soft_wrap=True)
    if not states:
        console.print("No account is watched: set TWILIO_ACCOUNT_SID and its credentials.")
    if not due or any(state.last_error for state in states):
        raise typer.Exit(1)


@cli.command()
def evaluate() -> None:
    """Run the rules over all changes that wait, and over what depends on time."""
    count = evaluation.evaluate_changes(get_settings(), EVALUATION_SECONDS)
    evaluation.evaluate_time(get_settings(), utc_now())
    console.print(f"{count} changes evaluated", highlight=False)


@cli.command()
def deliver() -> None:
    """Send every delivery that is due."""
    count = 0
    with asyncio.Runner() as runner:
        while sent := dispatch.deliver_due(get_settings(), runner):
            count += sent
    console.print(f"{count} deliveries attempted", highlight=False)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors that an operator can mend into one line, and exit code 2 for settings."""
    try:
        yield
    except ConfigError as error:
        sys.exit(_fail(str(error), 2))
    except GiftPulseError as error:
        sys.exit(_fail(str(error), 1))
    except OperationalError:
        sys.exit(
            _fail("the database does not answer, or its schema is older: see DATABASE_URL, run alembic upgrade head", 1)
        )


def _fail(message: str, code: int) -> int:
    print(f"giftpulse: {message}", file=sys.stderr)
    return code


def main() -> None:
    """Run the command line."""
    with _explained():
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        cli()
