"""`preview` and `report`: what a rule would have done, and what happened in a span."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.actions import mail_text
from app.cli.output import SinceOption, UntilOption, console, errors_of_file, parse_time, print_line, read_text
from app.config import get_settings
from app.database import session_scope
from app.errors import FieldError, InvalidInput
from app.services.preview import service as previews
from app.services.reports import report as reports
from app.services.rules import definition, description
from app.services.transfer import yaml_text
from app.utils.clock import rfc3339, utc_now
from app.utils.quantities import counted, number

BARS = " ▁▂▃▄▅▆▇█"
SERIES_LABELS = ("matches  ", "firing   ")


def preview(
    file: Annotated[
        Path, typer.Argument(help="A rule as YAML, with the fields of the API.", exists=True, dir_okay=False)
    ],
    since: SinceOption = "7d",
    until: UntilOption = "0m",
) -> None:
    """Show what a rule would have done on the stored logs. Nothing is stored or sent."""
    now = utc_now()
    span = {"since": rfc3339(parse_time(since, now)), "until": rfc3339(parse_time(until, now))}
    with errors_of_file(file):
        rule = yaml_text.load(read_text(file))
        if not isinstance(rule, dict):
            raise InvalidInput([FieldError("body", "must be the fields of a rule, such as `name: Calls fail`")])
        with session_scope() as session:
            outcome = previews.preview(session, rule | span | {"ladder": True}, get_settings(), now)
    for line in [*_describe(outcome, span["since"]), *_describe_limits(outcome, rule)]:
        print_line(line)
    if outcome["series"]:
        print_line("\n".join(_draw_series(outcome["series"], console.width)))
    for alert in outcome["alerts"]:
        print_line(_describe_alert(alert))


def _describe(preview: dict[str, Any], since: str) -> Iterator[str]:
    """Describe what a preview found, and what it could not judge."""
    silenced = sum(alert["silenced"] for alert in preview["alerts"])
    logs, matches = counted(preview["population"], "log"), counted(preview["matches"], "match", "matches")
    alerts = counted(len(preview["alerts"]), "alert") + (f", {silenced} of them silenced" if silenced else "")
    yield f"{logs} in the population, {matches}, {alerts}"
    if preview["known_since"] and datetime.fromisoformat(preview["known_since"]) > datetime.fromisoformat(since):
        yield f"logs from {preview['known_since']}: what was before is not judged; `backfill` reads further back"
    if preview["windows"] and preview["windows"]["too_small"]:
        count, small = preview["windows"]["count"], preview["windows"]["too_small"]
        yield f"{small:,} of {count:,} windows had fewer logs than min_total and were not judged"
    if preview["first_judged_at"]:
        yield f"a rule created now would be judged from {preview['first_judged_at']} on"
    for warning in preview["warnings"]:
        yield f"warning: {warning['field']}: {warning['message']}"


def _describe_limits(preview: dict[str, Any], rule: dict[str, Any]) -> Iterator[str]:
    """Describe when alerts resolve, and what other limits would have done."""
    parsed = definition.parse_rule(definition.writable(rule))
    yield description.plain_text(description.describe_resolve(parsed))
    if (ladder := preview["ladder"]) is not None:
        name, own = ladder["field"].rpartition(".")[2], parsed.condition.limit
        rungs = [
            f"{number(rung['value'])}: {rung['alerts']:,}{' (this rule)' if rung['value'] == own else ''}"
            for rung in ladder["items"]
        ]
        yield f"alerts by {name}: {', '.join(rungs)}"


def _describe_alert(alert: dict[str, Any]) -> str:
    """Describe an alert of a preview in one line, complete even in a narrow terminal."""
    parts = [f"{alert['started_at']} to {alert['resolved_at'] or 'now'}", counted(alert["occurrences"], "log")]
    parts += [f"{name} {value}" for name, value in alert["group"].items()]
    return ", ".join([*parts, *(["silenced"] if alert["silenced"] else [])])


def _draw_series(series: list[dict[str, Any]], width: int) -> Iterator[str]:
    """Draw the matches and the times of firing of a preview; a character stands for several buckets if needed."""
    size = -(-len(series) // max(width - len(SERIES_LABELS[0]), 1))
    parts = [series[start : start + size] for start in range(0, len(series), size)]
    yield SERIES_LABELS[0] + _plot([sum(each["matches"] for each in part) for part in parts])
    yield SERIES_LABELS[1] + "".join("^" if any(each["firing"] for each in part) else " " for part in parts)


def _plot(values: list[int]) -> str:
    """Draw numbers as bars, one character each."""
    most = max(values) or 1
    return "".join(BARS[-(-value * (len(BARS) - 1) // most)] for value in values)


def report(
    since: SinceOption = "7d",
    until: Annotated[
        str, typer.Option(help="The end, in the same form; default: the last full hour, or now if `--since` is later.")
    ] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the response of `GET /api/report`.")] = False,
) -> None:
    """Summarize a span, compared with the span before. Times are in NOTIFY_TIMEZONE."""
    now, settings = utc_now(), get_settings()
    start, full_hour = parse_time(since, now), now.replace(minute=0, second=0, microsecond=0)
    end = parse_time(until, now) if until else full_hour if start < full_hour else now
    with session_scope() as session:
        content = reports.build(session, start, end, settings.notify_timezone)
    if as_json:
        print(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
    else:
        print_line(mail_text.plain_report(content, settings.public_base_url, settings.notify_timezone, now))
