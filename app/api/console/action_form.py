"""The form of an action: turns fields into a body for the service, and an action into fields."""

from collections.abc import Mapping
from typing import Any

from app.api.console.access import Form
from app.config import Settings
from app.enums import ActionType, Severity
from app.errors import FieldError, InvalidInput
from app.models import Action
from app.services.outbox import actions
from app.services.outbox.report_schedule import ReportSchedule

KINDS = {
    ActionType.EMAIL: ("mail", "Mail", "to one or more addresses", "Mail"),
    ActionType.WEBHOOK: (
        "hook",
        "Webhook",
        "a request to an address: your own, Slack, Teams, PagerDuty and others",
        "Slack, Teams, webhook",
    ),
    ActionType.APPRISE: (
        "send",
        "Apprise",
        "more than a hundred services, by the URL that the Apprise library knows",
        "Others",
    ),
}
"""Icon, name, description, and the words for choosing it."""
FORMATS = {
    "standard": "Signed JSON",
    "slack": "Slack",
    "teams": "Teams",
    "google_chat": "Google Chat",
    "discord": "Discord",
    "pagerduty": "PagerDuty",
}
WAITS = ("after_minutes", "bundle_seconds")
NOTIFY_ON = ("firing", "update", "resolved")
LISTS = {ActionType.EMAIL: "recipients", ActionType.APPRISE: "urls"}
"""The field of a kind with one recipient per line."""
TEXTS = {
    ActionType.EMAIL: ("subject",),
    ActionType.WEBHOOK: ("url", "format", "method", "secret", "body", "routing_key"),
    ActionType.APPRISE: (),
}
"""The fields of a kind's config that take one text; empty ones are left out."""
KEPT_AS_TYPED = "template"
SECRETS = frozenset({"secret", "routing_key", "headers", "url", "urls"})
"""Fields with secrets in them, which are masked once they are stored."""
LABELS = {
    "recipients": "Addresses",
    "urls": "URLs",
    "url": "Address",
    "headers": "Headers",
    "routing_key": "Routing key",
    "secret": "Signing secret",
    "rule_id": "Rule",
    "min_severity": "From which severity",
    "notify_on": "Notify on",
    "after_minutes": "Only after this many minutes without acknowledgement",
    "bundle_seconds": "Collect firings for this many seconds and send one message",
    "report_every": "Reports",
    "report_weekday": "Day of the report",
    "report_at": "Time of the report",
    "report_timezone": "Zone of the report",
}
EMPTY: Mapping[str, str] = {
    "enabled": "true",
    "min_severity": Severity.INFO,
    "notify_on": ",".join(NOTIFY_ON),
    "format": "standard",
    "method": "POST",
    "report_every": "",
    **{f"report_{name}": str(value) for name, value in ReportSchedule(every="week") if name != "every"},
}


def read(form: Form) -> dict[str, Any]:
    """Turn the typed values into a body, which the service validates.

    Raises: InvalidInput if a header has no colon.
    """
    action_type = form.get("action_type")
    return {
        "rule_id": form.get("rule_id") or None,
        "action_type": action_type,
        "enabled": bool(form.get("enabled")),
        "min_severity": form.get("min_severity"),
        "notify_on": form.all("notify_on"),
        **{name: _whole(form.get(name)) for name in WAITS},
        "config": _config(form, ActionType(action_type)) if action_type in [*ActionType] else {},
        "report": _report(form),
    }


def _whole(text: str) -> int | str:
    """Parse a number. Empty is 0; other texts stay as they are, and the service rejects them."""
    return int(text) if text.isdecimal() and text.isascii() else text or 0


def _report(form: Form) -> dict[str, str] | None:
    if not form.get("report_every"):
        return None
    names = [name for name in ReportSchedule.model_fields if form.get(f"report_{name}")]
    return {name: form.get(f"report_{name}") for name in names}


def _config(form: Form, action_type: ActionType) -> dict[str, Any]:
    config: dict[str, Any] = {name: form.get(name) for name in TEXTS[action_type] if form.get(name)}
    if action_type in LISTS:
        config[LISTS[action_type]] = _lines(form.get(LISTS[action_type]))
    if action_type == ActionType.EMAIL and form.get(KEPT_AS_TYPED):
        config[KEPT_AS_TYPED] = form.get(KEPT_AS_TYPED)
    if action_type == ActionType.WEBHOOK:
        config["headers"] = _headers(form.get("headers"))
        if config.get("format") == "pagerduty":
            config.pop("secret", None)
        else:
            config.pop("routing_key", None)
    return config


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _headers(text: str) -> dict[str, str]:
    pairs = [line.partition(":") for line in _lines(text)]
    if any(not colon for _, colon, _ in pairs):
        raise InvalidInput(
            [FieldError("config.headers", "must have one header a line, such as Authorization: Bearer x")]
        )
    return {name.strip(): value.strip() for name, _, value in pairs}


def write(action: Action, settings: Settings) -> dict[str, str]:
    """Return the fields of a stored action; secrets are masked."""
    config = actions.masked_config(action, settings)
    fields = {name: str(value) for name, value in config.items() if isinstance(value, str)}
    for name in LISTS.values():
        fields[name] = "\n".join(config.get(name, []))
    fields["headers"] = "\n".join(f"{name}: {value}" for name, value in config.get("headers", {}).items())
    reports = {name: value for name, value in EMPTY.items() if name.startswith("report_")}
    stored = {f"report_{name}": str(value) for name, value in (action.report or {}).items()}
    common = {
        "action_type": action.action_type,
        "rule_id": str(action.rule_id or ""),
        "enabled": "true" if action.enabled else "",
        "min_severity": action.min_severity,
        "notify_on": ",".join(action.notify_on),
        **{name: str(getattr(action, name)) for name in WAITS},
    }
    return fields | reports | stored | common


def typed(form: Form) -> dict[str, str]:
    """Return the typed values, to show them again."""
    return {**form.typed(), "enabled": form.get("enabled"), "notify_on": ",".join(form.all("notify_on"))}


def by_field(error: InvalidInput) -> dict[str, str]:
    """Return the messages of an error by field of the form; for lists with the line."""
    found: dict[str, str] = {}
    for each in error.errors:
        name, _, rest = each.field.removeprefix("config.").partition(".")
        name = f"report_{rest or 'every'}" if name == "report" else name
        message = f"line {int(rest) + 1} {each.message}" if rest.isdigit() else each.message
        found[name] = f"{found[name]}; {message}" if name in found else message
    return found
