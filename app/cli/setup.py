"""`setup`, `check` and `doctor`: the first steps, and diagnosis."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer

from app.cli.output import BY, console, fail, print_line, require_terminal
from app.config import get_settings
from app.database import session_scope
from app.errors import GiftPulseError, InvalidInput
from app.services import doctor as doctors
from app.services import setup as setups
from app.services.outbox import actions
from app.services.rules import packs
from app.utils.clock import utc_now

MARKS = {"ok": "[green]   ok[/]", "note": "[yellow] note[/]", "wrong": "[red]wrong[/]"}


def setup(
    pack: Annotated[
        list[str] | None, typer.Option(help="A rule pack; `packs list` names them. May be repeated.")
    ] = None,
    mail: Annotated[list[str] | None, typer.Option(help="An email address to notify. May be repeated.")] = None,
    slack: Annotated[str | None, typer.Option(help="The address of an incoming webhook of Slack.")] = None,
    *,
    test: Annotated[bool, typer.Option(help="Send a test to each.")] = True,
) -> None:
    """Create the first rules and actions and test them. Asks if no option is given; a second run changes nothing."""
    wanted = setups.Wanted(tuple(pack or ()), tuple(mail or ()), slack)
    if wanted == setups.Wanted():
        wanted = _ask()
    with session_scope() as session:
        said, serving = setups.prepare(session, wanted, get_settings(), BY, utc_now())
    print_line("\n".join(said))
    tested = serving if test else []
    sent = [each for action_id in tested for each in actions.send_test(action_id, get_settings(), utc_now())]
    with session_scope() as session:
        results = setups.outcomes(session, sent)
        left = setups.missing(session)
    print_line("\n".join([*(line for line, _ in results), *(f"still missing: {line}" for line in left)]))
    if not all(arrived for _, arrived in results):
        raise typer.Exit(1)


def _ask() -> setups.Wanted:
    require_terminal("give --pack, --mail or --slack")
    names = ", ".join(pack.name for pack in packs.list_packs())
    chosen = _prompt(
        f"Rule packs, separated by commas ({names})",
        lambda said: setups.Wanted(packs=_items(said)),
        setups.DEFAULT_PACK,
    )
    mail = _prompt(
        "Email addresses to notify, separated by commas (none: Enter)", lambda said: setups.Wanted(mail=_items(said))
    )
    slack = _prompt("Address of a Slack webhook (none: Enter)", lambda said: setups.Wanted(slack=said.strip() or None))
    return setups.Wanted(chosen.packs, mail.mail, slack.slack)


def _prompt(question: str, read: Callable[[str], setups.Wanted], default: str = "") -> setups.Wanted:
    """Ask until the answer is valid."""

    def checked(said: str) -> setups.Wanted:
        try:
            setups.check(wanted := read(said), get_settings())
        except InvalidInput as error:
            raise typer.BadParameter("; ".join(dict.fromkeys(each.message for each in error.errors))) from None
        except GiftPulseError as error:
            raise typer.BadParameter(str(error)) from None
        return wanted

    # The library has no types here: what `checked` returns.
    answer: Any = typer.prompt(question, default=default, show_default=bool(default), value_proc=checked)
    return cast("setups.Wanted", answer)


def _items(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check() -> None:
    """Print in one line whether schema, settings and secrets fit this version; the exit code says the same."""
    finding = doctors.check(get_settings())
    if finding.result != "ok":
        sys.exit(fail(f"{finding.subject}: {finding.detail}", 1))
    print_line(finding.detail)


def doctor() -> None:
    """Check everything that GiftPulse needs, and say what to do about what does not work."""
    wrong = 0
    for finding in doctors.examine(get_settings(), utc_now):
        wrong += finding.result == "wrong"
        console.print(MARKS[finding.result], end=" ")
        print_line(f"{finding.subject}: {'. '.join(filter(None, (finding.detail, finding.next_step)))}")
    if wrong:
        raise typer.Exit(1)
