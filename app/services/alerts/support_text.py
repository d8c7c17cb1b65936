"""The text about an alert for Twilio's support: account, code, senders, times in UTC, and recent SIDs. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app.enums import ResolveReason
from app.models import Alert
from app.services.twilio.error_codes import describe
from app.utils.quantities import first_of

FRESH = timedelta(hours=24)
"""Twilio traces only newer messages and calls."""
MAX_SIDS = 5
EDITS = (ResolveReason.RULE_CHANGED, ResolveReason.RULE_DISABLED, ResolveReason.RULE_DELETED)
NOUNS = {"message": "Messages", "call": "Calls", "error": "Error-log entries"}


class SupportText(NamedTuple):
    """The text, and whether its SIDs are recent enough for Twilio to trace."""

    text: str
    is_fresh: bool


def write(alert: Alert, logs: Sequence[Any], finding: str | None, now: datetime) -> SupportText:
    """Write the text.

    Args:    logs: of the alert, newest first, as rows of `select_logs()`; finding: what they have in common.
    """
    fresh = [log for log in logs if log.occurred_at >= now - FRESH]
    shown = (fresh or list(logs))[:MAX_SIDS]
    lines = [*_facts(alert, logs), "", *([f"What we found: {finding}", ""] if finding else []), *_records(shown)]
    return SupportText("\n".join(lines), bool(fresh))


def _facts(alert: Alert, logs: Sequence[Any]) -> list[str]:
    codes = _codes(alert, logs)
    facts = [
        ("Account", _distinct(log.account_sid for log in logs)),
        ("Problem", alert.summary),
        ("Error codes" if len(codes) > 1 else "Error code", first_of(codes)),
        ("Sender", _distinct(log.from_ for log in logs)),
        ("Messaging service", _distinct(log.messaging_service_sid for log in logs)),
        ("Destination countries", _distinct(log.to_country for log in logs)),
        ("First seen", _moment(alert.started_at)),
        ("Last seen", _moment(alert.last_match_at)),
        ("Still going on", _goes_on(alert)),
    ]
    return [f"{name}: {value}" for name, value in facts if value]


def _goes_on(alert: Alert) -> str:
    if alert.resolved_at is None:
        return "yes"
    return "not known, since our rule was changed" if alert.resolve_reason in EDITS else "no"


def _codes(alert: Alert, logs: Sequence[Any]) -> list[str]:
    """List the codes of the logs, the most frequent first; without logs, the newest that the alert had."""
    counted = Counter(log.error_code for log in logs if log.error_code is not None)
    codes = [code for code, _ in counted.most_common()] or [alert.error_code]
    return [f"{code} ({describe(code).message})" for code in codes if code is not None]


def _distinct(values: Any) -> str:
    """List the different values in their order."""
    return first_of([*dict.fromkeys(value for value in values if value)])


def _records(logs: Sequence[Any]) -> list[str]:
    if not logs:
        return ["No records are stored any more."]
    heading = NOUNS[logs[0].log_type] if len({log.log_type for log in logs}) == 1 else "Records"
    return [f"{heading}:", *(_record(log) for log in logs)]


def _record(log: Any) -> str:
    code = "" if log.error_code is None else f", error {log.error_code}"
    route = f", {log.from_} to {log.to_}" if log.from_ or log.to_ else ""
    return f"{log.sid}, created {_moment(log.occurred_at)}, {log.status or log.level}{code}{route}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
