"""The command line, for operators: each command calls one service and prints what it returns."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from app import __version__, environment
from app.cli import analysis, configuration, security, setup, stages
from app.cli.output import fail, list_errors
from app.config import Settings, get_settings
from app.errors import ConfigError, GiftPulseError, InvalidInput
from app.utils.database_errors import NO_ANSWER, explain
from app.utils.logging import configure_logging

cli = typer.Typer(help="GiftPulse: watches Twilio accounts.", no_args_is_help=True, add_completion=False)
cli.command()(setup.setup)
cli.command()(setup.check)
cli.command()(setup.doctor)
cli.command()(stages.poll)
cli.command()(stages.evaluate)
cli.command()(stages.deliver)
cli.command()(stages.backfill)
cli.command()(analysis.preview)
cli.command()(analysis.report)
cli.command("export")(configuration.export_configuration)
cli.command("import")(configuration.import_configuration)
cli.command("error-codes")(configuration.refresh_error_codes)
cli.command("rotate-secrets")(security.rotate_secrets)
cli.command()(security.erase)
cli.command("move-database")(security.move_to_database)

_keys = typer.Typer(help="API keys: list, create, revoke.", no_args_is_help=True)
_keys.command("list")(security.list_keys)
_keys.command("create")(security.create_key)
_keys.command("make", hidden=True)(security.create_key)  # its former name
_keys.command("revoke")(security.revoke_key)
cli.add_typer(_keys, name="keys")

_packs = typer.Typer(help="Rule packs: list, install.", no_args_is_help=True)
_packs.command("list")(configuration.list_packs)
_packs.command("install")(configuration.install_pack)
cli.add_typer(_packs, name="packs")

_twilio = typer.Typer(help="Twilio's callbacks to this server.", no_args_is_help=True)
_twilio.command("connect")(configuration.connect_twilio)
cli.add_typer(_twilio, name="twilio")

_joined: set[str] = set()
"""The settings that come from a running `scripts/start` alone."""


def _show_version(asked: bool) -> None:  # typer's signature
    if asked:
        print(f"GiftPulse {__version__}")
        raise typer.Exit


@cli.callback()
def _prepare(
    *,
    folder: Annotated[
        Path | None, typer.Option(help="The data folder of a running `scripts/start`; default: .giftpulse")
    ] = None,
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if "--help" not in sys.argv:
        _joined.update(environment.join_local(folder or environment.LOCAL_FOLDER, Settings.env_file))
        settings = get_settings()
        # A command prints what it did; log lines about the same would only repeat it.
        level = "WARNING" if settings.log_level == "INFO" else settings.log_level
        configure_logging(level, settings.log_format)


@contextmanager
def _friendly_errors() -> Iterator[None]:
    """Turn the errors that an operator can fix into one line. The exit code is 2 for settings, else 1."""
    try:
        yield
    except ConfigError as error:
        sys.exit(fail(str(error), 2))
    except InvalidInput as error:
        sys.exit(fail(list_errors("invalid input:", error), 1))
    except GiftPulseError as error:
        sys.exit(fail(str(error), 1))
    except (OperationalError, ProgrammingError, InternalError) as error:
        said = explain(error)
        own = said == NO_ANSWER and "DATABASE_URL" in _joined
        sys.exit(
            fail("the database does not answer: it belongs to scripts/start: start that first" if own else said, 1)
        )


def main() -> None:
    """Run the command line."""
    with _friendly_errors():
        cli()
