"""`export`, `import`, `packs`, `twilio` and `error-codes`: the configuration, here and at Twilio."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import BY, errors_of_file, print_line, read_text, require_terminal
from app.config import get_settings
from app.database import session_scope
from app.services import audit, rule_admin
from app.services.ingest import callback_setup
from app.services.rules import packs
from app.services.transfer import transfer
from app.services.twilio import error_code_updates
from app.utils.clock import utc_now
from app.utils.quantities import counted


def export_configuration() -> None:
    """Print rules, actions and silences as one YAML document; secrets are masked."""
    with session_scope() as session:
        print(transfer.export(session, get_settings(), utc_now()), end="")


def import_configuration(
    file: Annotated[Path, typer.Argument(help="A document as `export` writes it.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option(help="Show the difference, change nothing.")] = False,
    prune: Annotated[bool, typer.Option(help="Delete what an earlier import named and the file does not.")] = False,
) -> None:
    """Apply a document of rules, actions and silences. If any part of it is invalid, nothing changes."""
    with errors_of_file(file), session_scope() as session:
        planned = transfer.apply_document(session, read_text(file), get_settings(), BY, utc_now(), prune=prune)
        if dry_run:
            session.rollback()
    for each in planned:
        print_line(f"{each.change} {each.kind} {each.slug}")
        for field, values in each.fields.items():
            print_line(f"    {field}: {values['before']!r} -> {values['after']!r}")
        for warning in each.warnings:
            print_line(f"    warning: {warning.field}: {warning.message}")
    print_line(
        "nothing changes"
        if not planned
        else counted(len(planned), "change") + (" (dry run: nothing was changed)" if dry_run else "")
    )


def list_packs() -> None:
    """List the rule packs that come with GiftPulse."""
    for pack in packs.list_packs():
        print_line(f"{pack.name}: {pack.description} ({counted(len(pack.rules), 'rule')})")


def install_pack(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `packs list`.")]) -> None:
    """Create the rules of a pack that do not exist yet."""
    with session_scope() as session:
        made = rule_admin.install_pack(session, name, utc_now())
        for rule in made:
            audit.record(session, BY, "rule.create", f"rule:{rule.id}", None, {"name": rule.name}, utc_now())
        names = [rule.name for rule in made]
    print_line("\n".join(names) if names else "all its rules exist already")


def connect_twilio(
    account: Annotated[str | None, typer.Option(help="The account's SID; default: that of the environment.")] = None,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Remove this server's addresses from Twilio.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Change it without asking.")] = False,
) -> None:
    """Set Twilio's callbacks to PUBLIC_BASE_URL where its API allows it; callbacks to other servers stay.

    Shows what would change, and asks before it changes anything.
    """
    work = callback_setup.disconnect if undo else callback_setup.connect
    if not yes:
        for line in work(account, get_settings(), dry_run=True):
            print_line(line)
        if dry_run:
            return
        require_terminal("--yes makes these changes, --dry-run only shows them")
        typer.confirm("Change this at Twilio?", abort=True)
    for line in work(account, get_settings(), dry_run=dry_run):
        print_line(line)


def refresh_error_codes(
    source: Annotated[str, typer.Argument(help="A file, or an address.")] = error_code_updates.PUBLISHED_AT,
) -> None:
    """Update the catalogue of Twilio's error codes."""
    count = error_code_updates.refresh(source, proxy=get_settings().outgoing_proxy)
    print_line(f"{count} codes are known now; restart the processes")
