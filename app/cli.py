"""The third door: for operators at a terminal. A command calls one service, and prints what it says."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import select, update
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from app import __version__, environment
from app.actions import mail_text
from app.config import get_settings
from app.database import session_scope
from app.enums import Scope
from app.errors import ConfigError, FieldError, GiftPulseError, InvalidInput, NotFound
from app.models import Account, ApiKey, Backfill, Stream
from app.services import audit, erasure, keys, move_database, rule_admin, secrets
from app.services import doctor as doctors
from app.services import setup as setups
from app.services.alerts import sentence
from app.services.alerts.withholding import withheld
from app.services.evaluation import pipeline
from app.services.ingest import accounts, backfills, callback_setup, polling, streams
from app.services.outbox import actions, dispatch
from app.services.preview import service as previews
from app.services.reports import due as due_reports
from app.services.reports import report as reports
from app.services.rules import definition, packs
from app.services.transfer import transfer, yaml_text
from app.services.twilio import error_code_updates
from app.utils.ages import read_age
from app.utils.clock import rfc3339, utc_now
from app.utils.database_errors import NO_ANSWER, explain
from app.utils.logging import configure_logging
from app.utils.quantities import number

cli = typer.Typer(help="GiftPulse: watches Twilio accounts.", no_args_is_help=True, add_completion=False)
key_commands = typer.Typer(help="API keys: list, make, revoke.", no_args_is_help=True)
pack_commands = typer.Typer(help="Ready sets of rules: list, install.", no_args_is_help=True)
cli.add_typer(key_commands, name="keys")
twilio_commands = typer.Typer(help="Twilio's side: let it push to this server.", no_args_is_help=True)
cli.add_typer(pack_commands, name="packs")
cli.add_typer(twilio_commands, name="twilio")
console = Console()

EVALUATION_SECONDS = 3600.0
POLL_INTERVAL_SECONDS = 0.5
BY = "command line"
"""Who made a change, for the audit."""
BARS = " ▁▂▃▄▅▆▇█"
MARKS = {"ok": "[green]   ok[/]", "note": "[yellow] note[/]", "wrong": "[red]wrong[/]"}

SinceOption = Annotated[str, typer.Option(help="From when: an age such as 30d, 12h, 90m, or a date or time (UTC).")]
UntilOption = Annotated[str, typer.Option(help="Up to when, likewise.")]


_joined: set[str] = set()
"""Settings that `scripts/start` made, and that nothing else says."""


def _show_version(asked: bool) -> None:  # typer's signature
    if asked:
        print(f"GiftPulse {__version__}")
        raise typer.Exit


@cli.callback()
def _prepare(
    *,
    folder: Annotated[
        Path | None, typer.Option(help="Where the `scripts/start` that is meant keeps its data; default: .giftpulse")
    ] = None,
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if "--help" not in sys.argv:
        _joined.update(environment.join_local(folder or environment.LOCAL_FOLDER))
        settings = get_settings()
        # A command prints what it did; the log's lines about the same would stand beside it.
        level = "WARNING" if settings.log_level == "INFO" else settings.log_level
        configure_logging(level, settings.log_format)


# --- Whether it works, and what is missing ------------------------------------------------------------------------


@cli.command()
def setup(
    pack: Annotated[
        list[str] | None, typer.Option(help="A rule pack; `packs list` names them. May be repeated.")
    ] = None,
    mail: Annotated[list[str] | None, typer.Option(help="An email address to notify. May be repeated.")] = None,
    slack: Annotated[str | None, typer.Option(help="The address of an incoming webhook of Slack.")] = None,
    *,
    test: Annotated[bool, typer.Option(help="Send a test to each.")] = True,
) -> None:
    """Make the first rules and actions, and test them; asks for what no option says. A second time changes nothing."""
    wanted = setups.Wanted(tuple(pack or ()), tuple(mail or ()), slack)
    if wanted == setups.Wanted():
        wanted = _ask()
    with session_scope() as session:
        said, serving = setups.prepare(session, wanted, get_settings(), BY, utc_now())
    _print_line("\n".join(said))
    sent = (
        [each for action_id in serving for each in actions.send_test(action_id, get_settings(), utc_now())]
        if test
        else []
    )
    with session_scope() as session:
        results = setups.outcomes(session, sent)
        left = setups.missing(session)
    _print_line("\n".join([*(line for line, _ in results), *(f"still missing: {line}" for line in left)]))
    if not all(arrived for _, arrived in results):
        raise typer.Exit(1)


def _ask() -> setups.Wanted:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask: give --pack, --mail or --slack")
    names = ", ".join(pack.name for pack in packs.list_packs())
    chosen = _prompt(
        f"Rule packs, by commas ({names})", lambda said: setups.Wanted(packs=_items(said)), setups.DEFAULT_PACK
    )
    mail = _prompt("Email addresses to notify, by commas (none: Enter)", lambda said: setups.Wanted(mail=_items(said)))
    slack = _prompt("Address of a Slack webhook (none: Enter)", lambda said: setups.Wanted(slack=said.strip() or None))
    return setups.Wanted(chosen.packs, mail.mail, slack.slack)


def _prompt(question: str, read: Callable[[str], setups.Wanted], default: str = "") -> setups.Wanted:
    """Ask until the answer can be used."""

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


@cli.command()
def check() -> None:
    """Print in one line whether schema, settings and secrets fit this version; the exit code says the same."""
    finding = doctors.check(get_settings())
    if finding.result != "ok":
        sys.exit(_fail(f"{finding.subject}: {finding.detail}", 1))
    _print_line(finding.detail)


# --- Each stage once by hand ---------------------------------------------------------------------------------------


@cli.command()
def doctor() -> None:
    """Look whether everything that GiftPulse needs works, and say what to do about what does not."""
    wrong = 0
    for finding in doctors.examine(get_settings(), utc_now):
        wrong += finding.result == "wrong"
        console.print(MARKS[finding.result], end=" ")
        _print_line(f"{finding.subject}: {finding.detail}")
    if wrong:
        raise typer.Exit(1)


@cli.command()
def poll() -> None:
    """Poll every stream of every account now, due or not."""
    settings = get_settings()
    with session_scope() as session:
        now = utc_now()
        accounts.ensure_environment_account(session, settings, now)
        session.execute(update(Stream).values(due_at=now))
        due = streams.due(session, now)
    for stream_id in due:
        polling.poll(stream_id, settings)
    with session_scope() as session:
        states = streams.stream_statuses(session)
    for state in states:
        outcome = f"failed: {state.last_error}" if state.last_error else f"complete until {state.complete_until}"
        _print_line(f"{state.account_sid} {state.log_type}: {outcome}")
    if not states:
        _print_line("No account is watched: set TWILIO_ACCOUNT_SID and its credentials.")
    if not states or any(state.last_error for state in states):
        raise typer.Exit(1)


@cli.command()
def evaluate() -> None:
    """Run the rules over all changes that wait, and over what depends on time."""
    count = pipeline.evaluate_changes(get_settings(), EVALUATION_SECONDS)
    pipeline.evaluate_time(get_settings(), utc_now(), EVALUATION_SECONDS)
    _print_line(f"{count} changes evaluated")


@cli.command()
def deliver() -> None:
    """Make the reports that are due, and send every delivery that is."""
    due_reports.make_due(get_settings(), utc_now())
    count = 0
    with asyncio.Runner() as runner:
        while sent := dispatch.deliver_due(get_settings(), runner, withheld):
            count += sent
    _print_line(f"{count} deliveries attempted")


# --- The past ------------------------------------------------------------------------------------------------------


@cli.command()
def backfill(
    since: SinceOption,
    until: UntilOption = "0m",
    account: Annotated[str | None, typer.Option(help="The sid of one account; all, where it is left out.")] = None,
) -> None:
    """Read a span of the past again, without alerts. It may be interrupted: whoever polls next goes on."""
    settings = get_settings()
    with session_scope() as session:
        now = utc_now()
        accounts.ensure_environment_account(session, settings, now)
        query = select(Account.id).where(Account.enabled)
        watched = session.scalars(query if account is None else query.where(Account.sid == account)).all()
        if not watched:
            raise NotFound("no such account is watched: set TWILIO_ACCOUNT_SID, or add it through the API")
        span, retention = (_parse_time(since, now), _parse_time(until, now)), timedelta(days=settings.retention_days)
        requested = [one.id for each in watched for one in backfills.request(session, each, *span, now, retention)]
    try:
        failed = _show_progress(requested)
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted: what is read is kept, and the next polls continue", 130))
    for error in failed:
        _print_line(f"failed: {error}")
    if failed:
        raise typer.Exit(1)


def _show_progress(requested: list[int]) -> list[str]:
    """Poll until all is read, beside whatever workers do; return the errors."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    count = TextColumn("{task.fields[records]:,} records read")
    with Progress(*columns, count, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("Reading", total=1.0, records=0)
        while True:
            with session_scope() as session:
                rows = session.scalars(select(Backfill).where(Backfill.id.in_(requested))).all()
                done = [_share(row) for row in rows]
                bar.update(task, completed=sum(done) / len(done), records=sum(row.records for row in rows))
                if all(row.finished_at for row in rows):
                    return [row.last_error for row in rows if row.last_error]
                waiting = {row.stream_id for row in rows if row.finished_at is None}
                session.execute(update(Stream).where(Stream.id.in_(waiting)).values(due_at=utc_now()))
            polled = [polling.poll(stream_id, get_settings()) for stream_id in sorted(waiting)]
            if not any(polled):
                time.sleep(POLL_INTERVAL_SECONDS)


def _share(row: Backfill) -> float:
    """Return how much of a span is read, from 0 to 1."""
    return 1.0 if row.finished_at else max(0.0, (row.read_from - row.since) / (row.until - row.since))


@cli.command()
def preview(
    file: Annotated[
        Path, typer.Argument(help="A rule as YAML, with the fields of the API.", exists=True, dir_okay=False)
    ],
    since: SinceOption = "7d",
    until: UntilOption = "0m",
) -> None:
    """Tell what a rule would have done on the stored logs. Nothing is stored or sent."""
    now = utc_now()
    span = {"since": rfc3339(_parse_time(since, now)), "until": rfc3339(_parse_time(until, now))}
    with _errors_of_file(file), session_scope() as session:
        rule = yaml_text.load(_text_of(file))
        if not isinstance(rule, dict):
            raise InvalidInput([FieldError("body", "must be the fields of a rule, such as `name: Calls fail`")])
        outcome = previews.preview(session, rule | span | {"ladder": True}, get_settings(), now)
    for line in [*_preview_lines(outcome, span["since"]), *_limit_lines(outcome, rule)]:
        _print_line(line)
    if outcome["series"]:
        _print_line(f"matches  {_plot([each['matches'] for each in outcome['series']])}")
        _print_line(f"firing   {''.join('^' if each['firing'] else ' ' for each in outcome['series'])}")
    for alert in outcome["alerts"]:
        _print_line(_preview_alert(alert))


@cli.command()
def report(
    since: SinceOption = "7d",
    until: Annotated[str, typer.Option(help="Up to when, likewise; default: the last full hour.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write what `GET /api/report` answers.")] = False,
) -> None:
    """Tell what a span brought, against the span before. Times are in NOTIFY_TIMEZONE."""
    now, settings = utc_now(), get_settings()
    start, full_hour = _parse_time(since, now), now.replace(minute=0, second=0, microsecond=0)
    end = _parse_time(until, now) if until else full_hour if start < full_hour else now
    with session_scope() as session:
        report = reports.build(session, start, end, settings.notify_timezone)
    if as_json:
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_line(mail_text.plain_report(report, settings.public_base_url, settings.notify_timezone, now))


def _preview_alert(alert: dict[str, Any]) -> str:
    """Write an alert of a preview in one line, complete even in a narrow terminal."""
    number = alert["occurrences"]
    parts = [f"{alert['started_at']} to {alert['resolved_at'] or 'now'}", f"{number} log{'' if number == 1 else 's'}"]
    parts += [f"{name} {value}" for name, value in alert["group"].items()]
    return ", ".join([*parts, *(["silenced"] if alert["silenced"] else [])])


def _preview_lines(preview: dict[str, Any], since: str) -> Iterator[str]:
    """Describe what a preview found, and what it could not judge."""
    silenced = sum(alert["silenced"] for alert in preview["alerts"])
    alerts = f"{len(preview['alerts'])} alerts" + (f", {silenced} of them silenced" if silenced else "")
    yield f"{preview['population']:,} logs in the population, {preview['matches']:,} matches, {alerts}"
    if preview["known_since"] and datetime.fromisoformat(preview["known_since"]) > datetime.fromisoformat(since):
        yield f"logs from {preview['known_since']}: what was before is not judged; `backfill` reads further back"
    if preview["windows"] and preview["windows"]["too_small"]:
        count, small = preview["windows"]["count"], preview["windows"]["too_small"]
        yield f"{small:,} of {count:,} windows had fewer logs than min_total and were not judged"
    if preview["first_judged_at"]:
        yield f"a rule made now would be judged from {preview['first_judged_at']} on"
    for warning in preview["warnings"]:
        yield f"warning: {warning['field']}: {warning['message']}"


def _limit_lines(preview: dict[str, Any], rule: dict[str, Any]) -> Iterator[str]:
    """Describe when alerts resolve, and what other limits would have done."""
    parsed = definition.parse_rule(definition.writable(rule))
    yield sentence.plain_text(sentence.describe_resolve(parsed))
    if (ladder := preview["ladder"]) is not None:
        name, own = ladder["field"].rpartition(".")[2], parsed.condition.limit
        rungs = [
            f"{number(rung['value'])}: {rung['alerts']:,}{' (this rule)' if rung['value'] == own else ''}"
            for rung in ladder["items"]
        ]
        yield f"alerts by {name}: {', '.join(rungs)}"


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8") from None


def _plot(values: list[int]) -> str:
    """Draw numbers as bars, one character each."""
    most = max(values) or 1
    return "".join(BARS[-(-value * (len(BARS) - 1) // most)] for value in values)


# --- Configuration -------------------------------------------------------------------------------------------------


@cli.command("export")
def export_configuration() -> None:
    """Write rules, actions and silences as one YAML document to standard output; secrets are masked."""
    with session_scope() as session:
        print(transfer.export(session, get_settings(), utc_now()), end="")


@cli.command("import")
def import_configuration(
    file: Annotated[Path, typer.Argument(help="A document as `export` writes it.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option(help="Show the difference, change nothing.")] = False,
    prune: Annotated[bool, typer.Option(help="Delete what an earlier import named and the file does not.")] = False,
) -> None:
    """Bring rules, actions and silences to a document: all of it, or nothing where something cannot be used."""
    with _errors_of_file(file), session_scope() as session:
        planned = transfer.apply_document(session, _text_of(file), get_settings(), BY, utc_now(), prune=prune)
        if dry_run:
            session.rollback()
    for each in planned:
        _print_line(f"{each.change} {each.kind} {each.slug}")
        for field, values in each.fields.items():
            _print_line(f"    {field}: {values['before']!r} -> {values['after']!r}")
        for warning in each.warnings:
            _print_line(f"    warning: {warning.field}: {warning.message}")
    _print_line("nothing changes" if not planned else f"{len(planned)} changes{', none made' if dry_run else ''}")


@pack_commands.command("list")
def list_packs() -> None:
    """List the packs that come with GiftPulse."""
    for pack in packs.list_packs():
        _print_line(f"{pack.name}: {pack.description} ({len(pack.rules)} rules)")


@pack_commands.command("install")
def install_pack(name: str) -> None:
    """Make the rules of a pack that are not there yet."""
    with session_scope() as session:
        made = rule_admin.install_pack(session, name, utc_now())
        for rule in made:
            audit.record(session, BY, "rule.create", f"rule:{rule.id}", None, {"name": rule.name}, utc_now())
        names = [rule.name for rule in made]
    _print_line("\n".join(names) if names else "all its rules are there already")


@twilio_commands.command("connect")
def connect_twilio(
    account: Annotated[str | None, typer.Option(help="The account's sid; default: that of the environment.")] = None,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take this server's addresses out of Twilio again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Change it without asking.")] = False,
) -> None:
    """Point Twilio's callbacks at PUBLIC_BASE_URL, as far as its API lets it; what others have set stays.

    Shows what would change, and asks before it changes anything.
    """
    work = callback_setup.disconnect if undo else callback_setup.connect
    if not yes:
        for line in work(account, get_settings(), dry_run=True):
            _print_line(line)
        if dry_run:
            return
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                "there is no terminal to ask: --yes makes these changes, --dry-run only shows them"
            )
        typer.confirm("Change this at Twilio?", abort=True)
    for line in work(account, get_settings(), dry_run=dry_run):
        _print_line(line)


@cli.command("error-codes")
def refresh_error_codes(
    source: Annotated[str, typer.Argument(help="A file, or an address.")] = error_code_updates.PUBLISHED_AT,
) -> None:
    """Bring the catalogue of Twilio's error codes up to date."""
    count = error_code_updates.refresh(source, proxy=get_settings().outgoing_proxy)
    _print_line(f"{count} codes are known now; restart the processes")


# --- Keys ----------------------------------------------------------------------------------------------------------


@key_commands.command("list")
def list_keys() -> None:
    """List the keys that are not revoked."""
    table = Table(box=None, pad_edge=False)
    for heading, wraps in (("id", False), ("name", True), ("scope", False), ("prefix", False), ("last used", False)):
        table.add_column(heading, no_wrap=not wraps, overflow="fold")
    with session_scope() as session:
        for key in session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)).order_by(ApiKey.created_at)):
            used = key.last_used_at.date().isoformat() if key.last_used_at else "never"
            table.add_row(str(key.id), escape(key.name), key.scope, key.prefix, used)
    console.print(table)


@key_commands.command("make")
def make_key(
    name: str, scope: Annotated[Scope, typer.Option(help="What it may do; each includes the ones before.")] = Scope.READ
) -> None:
    """Make a key, and print it: nobody can show it again."""
    with session_scope() as session:
        key, clear = keys.create(session, name, scope, utc_now())
        audit.record(session, BY, "key.create", f"key:{key.id}", None, {"name": name, "scope": scope}, utc_now())
    print(clear)


@key_commands.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its id.")]) -> None:
    """Make a key useless from the next request on."""
    with session_scope() as session:
        key = keys.revoke(session, keys.find_named(session, name).id, utc_now())
        audit.record(session, BY, "key.revoke", f"key:{key.id}", {"name": key.name}, None, utc_now())
        name = key.name
    _print_line(f"{name} is revoked")


@cli.command("rotate-secrets")
def rotate_secrets() -> None:
    """Encrypt every stored secret under the first key of SECRET_KEY; after that the others can be left out."""
    with session_scope() as session:
        count = secrets.rotate(session, get_settings().secret_keys)
        audit.record(session, BY, "secrets.rotate", "secrets", None, {"count": count}, utc_now())
    _print_line(f"{count} secrets are encrypted under the first key")


@cli.command()
def erase(
    number: Annotated[str, typer.Argument(help="With its country, such as +14155550100.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Remove a phone number, and the texts to and from it, from everything but the audit. It cannot be undone."""
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("there is no terminal to ask: --yes erases it")
        typer.confirm("Erase it, with all texts to and from it?", abort=True)
    changed = erasure.erase(number, get_settings(), BY, utc_now())
    for table, count in sorted(changed.items()):
        _print_line(f"{table}: {count:,} rows")
    _print_line("erased" if changed else "nothing holds it")


@cli.command("move-database")
def move_to_database(
    url: Annotated[str, typer.Argument(help="Of an empty database: postgresql://user:password@host:5432/name.")],
) -> None:
    """Copy everything to another PostgreSQL, and say what to set. Stop the other processes before."""
    for line in move_database.move(url, get_settings(), utc_now()):
        _print_line(line)


# --- What commands share -------------------------------------------------------------------------------------------


def _print_line(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _parse_time(text: str, now: datetime) -> datetime:
    """Read an age or a time."""
    try:
        age = read_age(text)
        at = datetime.fromisoformat(text) if age is None else now - age
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is neither an age such as 30d nor a time such as 2026-11-23") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@contextmanager
def _errors_of_file(file: Path) -> Iterator[None]:
    """Name the file whose content cannot be used."""
    try:
        yield
    except InvalidInput as error:
        sys.exit(_fail(_listed(f"{file} cannot be used:", error), 1))


@contextmanager
def _friendly_errors() -> Iterator[None]:
    """Turn the errors that an operator can mend into one line, and exit code 2 for settings."""
    try:
        yield
    except ConfigError as error:
        sys.exit(_fail(str(error), 2))
    except InvalidInput as error:
        sys.exit(_fail(_listed("it cannot be used:", error), 1))
    except GiftPulseError as error:
        sys.exit(_fail(str(error), 1))
    except (OperationalError, ProgrammingError, InternalError) as error:
        said = explain(error)
        own = said == NO_ANSWER and "DATABASE_URL" in _joined
        sys.exit(_fail("the database does not answer: it is that of scripts/start, which must run" if own else said, 1))


def _listed(headline: str, refused: InvalidInput) -> str:
    return "\n  ".join([headline, *(f"{error.field}: {error.message}" for error in refused.errors)])


def _fail(message: str, code: int) -> int:
    print(f"giftpulse: {message}", file=sys.stderr)
    return code


def main() -> None:
    """Run the command line."""
    with _friendly_errors():
        cli()
