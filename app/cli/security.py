"""`keys`, `rotate-secrets`, `erase` and `move-database`: access and data."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.output import BY, console, print_line, require_terminal
from app.config import get_settings
from app.database import session_scope
from app.enums import Scope
from app.services import audit, erasure, keys, move_database, secrets
from app.utils.clock import utc_now


def list_keys() -> None:
    """List the API keys that are not revoked."""
    table = Table(box=None, pad_edge=False)
    for heading, wraps in (("id", False), ("name", True), ("scope", False), ("prefix", False), ("last used", False)):
        table.add_column(heading, no_wrap=not wraps, overflow="fold")
    with session_scope() as session:
        for key in keys.list_active(session):
            used = key.last_used_at.date().isoformat() if key.last_used_at else "never"
            table.add_row(str(key.id), escape(key.name), key.scope, key.prefix, used)
    console.print(table)


def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scope: Annotated[Scope, typer.Option(help="What it may do; each includes the ones before.")] = Scope.READ,
) -> None:
    """Create an API key and print it. It is never shown again."""
    with session_scope() as session:
        key, clear = keys.create(session, name, scope, utc_now())
        audit.record(session, BY, "key.create", f"key:{key.id}", None, {"name": name, "scope": scope}, utc_now())
    print(clear)


def revoke_key(name: Annotated[str, typer.Argument(metavar="NAME", help="Its name or its id.")]) -> None:
    """Revoke an API key: the next request with it is refused."""
    with session_scope() as session:
        key = keys.revoke(session, keys.find_named(session, name).id, utc_now())
        audit.record(session, BY, "key.revoke", f"key:{key.id}", {"name": key.name}, None, utc_now())
        name = key.name
    print_line(f"{name} is revoked")


def rotate_secrets() -> None:
    """Encrypt every stored secret with the first key of SECRET_KEY; the other keys may then be removed."""
    with session_scope() as session:
        count = secrets.rotate(session, get_settings().secret_keys)
        audit.record(session, BY, "secrets.rotate", "secrets", None, {"count": count}, utc_now())
    print_line(f"{count} secrets are encrypted under the first key")


def erase(
    number: Annotated[str, typer.Argument(help="With its country code, such as +14155550100.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Remove a phone number, and the texts to and from it, from everything but the audit. It cannot be undone."""
    if not yes:
        require_terminal("--yes erases it")
        typer.confirm("Erase it, with all texts to and from it?", abort=True)
    changed = erasure.erase(number, get_settings(), BY, utc_now())
    for table, count in sorted(changed.items()):
        print_line(f"{table}: {count:,} rows")
    print_line("erased" if changed else "nothing contains it")


def move_to_database(
    url: Annotated[str, typer.Argument(help="Of an empty database: postgresql://user:password@host:5432/name.")],
) -> None:
    """Copy everything to another PostgreSQL, and say what to set. Stop the other processes first."""
    for line in move_database.move(url, get_settings(), utc_now()):
        print_line(line)
