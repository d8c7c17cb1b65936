"""What the commands share: printing, reading times, and turning errors into one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.errors import InvalidInput
from app.utils.ages import read_time_or_age
from app.utils.calendar_edges import to_zone

console = Console()

BY = "command line"
"""Who made a change, for the audit."""

SinceOption = Annotated[str, typer.Option(help="The start: an age such as 30d, 12h, 90m, or a date or time (UTC).")]
UntilOption = Annotated[str, typer.Option(help="The end, in the same form; 0m is now.")]


def print_line(line: str) -> None:
    """Print a line as it is, without markup."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def fail(message: str, code: int) -> int:
    """Print an error; return the exit code."""
    print(f"giftpulse: {message}", file=sys.stderr)
    return code


def list_errors(headline: str, error: InvalidInput) -> str:
    """Return one line for each invalid field."""
    return "\n  ".join([headline, *(f"{each.field}: {each.message}" for each in error.errors)])


def parse_time(text: str, now: datetime) -> datetime:
    """Parse an age or a time.

    Raises: typer.BadParameter.
    """
    at = read_time_or_age(text, now)
    if at is None:
        raise typer.BadParameter(f"{text!r} is neither an age such as 30d nor a time such as 2026-11-23")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else to_zone(at, UTC)


def read_text(file: Path) -> str:
    """Read a UTF-8 file.

    Raises: typer.BadParameter.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8") from None


@contextmanager
def errors_of_file(file: Path) -> Iterator[None]:
    """Exit with an error that names the file if its content is invalid."""
    try:
        yield
    except InvalidInput as error:
        sys.exit(fail(list_errors(f"{file} cannot be used:", error), 1))


def require_terminal(otherwise: str) -> None:
    """Refuse to ask a question that nobody can answer.

    Args:    otherwise: the options that make the question unnecessary.
    Raises:  typer.BadParameter.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"there is no terminal to ask: {otherwise}")
