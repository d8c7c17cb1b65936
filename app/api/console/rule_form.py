"""The form of a rule: turns its fields into a body for the services, and a body into fields. Pure.

The form contains the fields of all eight conditions, so their names include the condition: `threshold.count` is
`condition.count` of the body.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from app.api.console.access import Form
from app.services.rules.conditions.registry import CONDITIONS
from app.services.rules.definition import RuleDefinition, as_json
from app.services.rules.patterns import list_items

FILTER_FIELDS = ("direction", "to_country", "from", "to", "messaging_service_sid", "account_sid", "level")
WHOLE, DECIMAL, TEXT = "whole", "decimal", "text"


def _kind(annotation: Any) -> str:
    """Return how to parse a field of a condition: optional and constrained types are what they wrap."""
    while get_origin(annotation) in (Annotated, UnionType, Union):
        annotation = get_args(annotation)[0]
    return {int: WHOLE, float: DECIMAL}.get(annotation, TEXT)


CONDITION_FIELDS: Mapping[str, Mapping[str, str]] = {
    name: {field: _kind(info.annotation) for field, info in condition.model_fields.items() if field != "type"}
    for name, condition in CONDITIONS.items()
}
"""The fields of each condition, and how to parse them."""
MINUTES = ("renotify_minutes", "resolve_after_minutes", "cooldown_minutes")
SCHEDULE_FIELDS = ("timezone", "start", "end")
START_VALUES = {
    "log_type": "message",
    "severity": "warning",
    "enabled": "yes",
    "pattern_type": "error_code",
    "condition": "each",
    **{
        f"{name}.{field}": "" if info.default is None else str(info.default)
        for name, condition in CONDITIONS.items()
        for field, info in condition.model_fields.items()
        if field != "type" and not info.is_required()
    },
    "threshold.count": "10",
    "threshold.window_minutes": "60",
    "ratio.percent": "5",
    "ratio.window_minutes": "60",
    "spike.window_minutes": "15",
    "no_data.window_minutes": "30",
    "new_value.field": "error_code",
    "stuck.older_than_minutes": "60",
    "sum.field": "price",
    "sum.at_least": "50",
    "sum.window_minutes": "60",
    "renotify_minutes": "60",
    "resolve_after_minutes": "60",
    "cooldown_minutes": "10",
    "schedule.timezone": "",
    "schedule.start": "",
    "schedule.end": "",
}
"""What an empty form shows."""
LISTS = ("filters.direction", "filters.level", "group_by", "schedule.days")
"""Fields that may have several values."""
LABELS = {
    "name": "Name",
    "enabled": "Enabled",
    "description": "Description",
    "log_type": "Kind of log",
    "filters.direction": "Direction",
    "filters.to_country": "Countries",
    "filters.from": "Senders",
    "filters.to": "Recipients",
    "filters.messaging_service_sid": "Messaging services",
    "filters.account_sid": "Accounts",
    "filters.level": "Levels",
    "pattern_type": "What counts",
    "pattern_value": "Looked for",
    "condition": "Condition",
    "count": "At least",
    "window_minutes": "Window",
    "resolve_count": "Resolves below",
    "percent": "Share",
    "min_total": "Minimum logs",
    "settle_minutes": "Wait",
    "resolve_percent": "Resolves below",
    "factor": "Times as many",
    "baseline_windows": "Windows before",
    "min_count": "At least",
    "field": "Field",
    "lookback_days": "Days before",
    "older_than_minutes": "Older than",
    "at_least": "Sum",
    "group_by": "One alert for each",
    "severity": "Severity",
    "renotify_minutes": "Reminders",
    "resolve_after_minutes": "Resolve after",
    "cooldown_minutes": "Cooldown",
    "schedule.timezone": "Time zone",
    "schedule.days": "Days",
    "schedule.start": "From",
    "schedule.end": "Until",
    "schedule": "Hours",
    "depends_on": "Depends on",
}
"""How each field is called where an error names it; fields of conditions without the condition's name."""


@dataclass(frozen=True)
class RuleForm:
    """The fields of the form, as text."""

    fields: Mapping[str, Sequence[str]]

    def get(self, name: str) -> str:
        """Return the value of a field; empty if it has none."""
        return next(iter(self.fields.get(name, ())), "")

    def has(self, name: str, value: str) -> bool:
        """Check whether a field that may have several values has this one."""
        return value in self.fields.get(name, ())

    @property
    def condition(self) -> str:
        """The condition that is chosen."""
        return self.get("condition")

    def pairs(self) -> list[tuple[str, str]]:
        """List every value with the name of its field, for hidden inputs."""
        return [(name, value) for name, values in self.fields.items() for value in values]


def from_post(form: Form) -> RuleForm:
    """Read the posted fields. Spaces are kept: in a pattern they matter.

    A button sets a field to its own value by the name `set:` and the field's.
    """
    fields: dict[str, list[str]] = {}
    for name, value in form.fields:
        if name in START_VALUES or name in LABELS:
            fields.setdefault(name, []).append(value)
    chosen = {name.removeprefix("set:"): [value] for name, value in form.fields if name.startswith("set:")}
    return RuleForm(fields | {name: value for name, value in chosen.items() if name in START_VALUES})


def filled_in(form: RuleForm, query: Iterable[tuple[str, str]]) -> RuleForm:
    """Replace fields by those that an address names; lists of values are separated by commas."""
    given: dict[str, list[str]] = {}
    for name, value in query:
        if name in START_VALUES or name in LABELS:
            given[name] = list_items(value) if name in LISTS else [value]
    return RuleForm({**form.fields, **given})


def from_body(body: Mapping[str, Any]) -> RuleForm:
    """Write a body, or a part of one, into the form; missing fields are as in an empty form."""
    fields = {name: [value] for name, value in START_VALUES.items()}
    for name in ("name", "description", "severity", "log_type", "pattern_type", "pattern_value", *MINUTES):
        if name in body:
            fields[name] = [_text(body[name])]
    if "enabled" in body:
        fields["enabled"] = ["yes"] if body["enabled"] else []
    for name, values in (body.get("filters") or {}).items():
        fields[f"filters.{name}"] = [*values] if name in ("direction", "level") else [", ".join(values)]
    condition = body.get("condition") or {}
    if "type" in condition:
        fields["condition"] = [condition["type"]]
        for name, value in condition.items():
            if name != "type":
                fields[f"{condition['type']}.{name}"] = [_text(value)]
    fields["group_by"] = [*(body.get("group_by") or ())]
    fields["depends_on"] = [*(body.get("depends_on") or ())]
    for name, value in (body.get("schedule") or {}).items():
        fields[f"schedule.{name}"] = [*value] if name == "days" else [_text(value)]
    return RuleForm(fields)


def from_definition(rule: RuleDefinition) -> RuleForm:
    """Show a rule in the form."""
    return from_body(as_json(rule))


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.16g}" if isinstance(value, float) else str(value)


def to_body(form: RuleForm) -> dict[str, Any]:
    """Turn the form into a body for the services. Unreadable values stay text: validation reports them."""
    pattern_type = form.get("pattern_type")
    filters = {name: found for name in FILTER_FIELDS if (found := _items(form.fields.get(f"filters.{name}", ())))}
    return {
        "name": form.get("name").strip(),
        "description": form.get("description").strip(),
        "enabled": form.has("enabled", "yes"),
        "severity": form.get("severity"),
        "log_type": form.get("log_type"),
        "filters": filters,
        "pattern_type": pattern_type,
        "pattern_value": None if pattern_type == "any" else form.get("pattern_value") or None,
        "condition": _condition(form),
        "group_by": [*form.fields.get("group_by", ())],
        "schedule": _schedule(form),
        "depends_on": [*form.fields.get("depends_on", ())],
        "renotify_minutes": _number(form.get("renotify_minutes"), WHOLE),
        **{
            name: _number(form.get(name), WHOLE)
            for name in ("resolve_after_minutes", "cooldown_minutes")
            if form.get(name).strip()
        },
    }


def _items(values: Sequence[str]) -> list[str]:
    return [item for value in values for item in list_items(value) if item]


def _condition(form: RuleForm) -> dict[str, Any]:
    condition = form.condition
    found: dict[str, Any] = {"type": condition}
    for name, kind in CONDITION_FIELDS.get(condition, {}).items():
        value = form.get(f"{condition}.{name}").strip()
        if value:
            found[name] = value if kind == TEXT else _number(value, kind)
    return found


def _schedule(form: RuleForm) -> dict[str, Any] | None:
    """Return the schedule; None if neither hour is filled in."""
    found: dict[str, Any] = {name: form.get(f"schedule.{name}").strip() for name in SCHEDULE_FIELDS}
    if not found["start"] and not found["end"]:
        return None
    if days := [*form.fields.get("schedule.days", ())]:
        found["days"] = days
    return found


def _number(text: str, kind: str) -> int | float | str | None:
    text = text.strip()
    if not text:
        return None
    try:
        return int(text) if kind == WHOLE else float(text)
    except ValueError:
        return text
