"""Parses the request of a preview: a rule and the span to run it over."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.errors import FieldError, InvalidInput
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.rule import Rule
from app.services.spans import span_errors
from app.utils.ages import read_time_or_age

MAX_SPAN = timedelta(days=92)
EXTRAS = ("ladder", "samples")
"""Parts of a preview that are there only if the request asks for them."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PreviewRequest:
    """A rule as if it was created at `since` and ran until `until`."""

    rule: Rule
    definition: RuleDefinition
    since: datetime
    until: datetime
    rule_id: UUID | None
    """The stored rule whose body was sent, if any: silences may cover its alerts."""
    ladder: bool = False
    """Also preview other limits."""
    samples: bool = False
    """Also find logs that match or nearly match."""


def parse_request(body: object, now: datetime) -> PreviewRequest:
    """Parse the body of a preview: the fields of a rule, `since`, `until` (default: now), and `EXTRAS`.

    Raises: InvalidInput, naming each field by its path.
    """
    if not isinstance(body, dict):
        raise InvalidInput([FieldError("body", "must be a JSON object")])
    errors: list[FieldError] = []
    since = _time(body, "since", None, now, errors)
    until = _time(body, "until", now, now, errors)
    if not errors:
        errors += span_errors(since, until, MAX_SPAN)
    extras = _extras(body, errors)
    fields = {name: value for name, value in body.items() if name not in {"since", "until", *EXTRAS}}
    try:
        parsed = definition.parse_rule(definition.writable(fields))
    except InvalidInput as error:
        raise InvalidInput([*error.errors, *errors]) from None
    if errors:
        raise InvalidInput(errors)
    until = min(until, max(now, since))
    rule_id = _rule_id(body.get("id"))
    return PreviewRequest(rule_from_definition(parsed, since), parsed, since, until, rule_id, **extras)


def _extras(body: dict[str, Any], errors: list[FieldError]) -> dict[str, bool]:
    sent = {name: body.get(name, False) for name in EXTRAS}
    errors += [FieldError(name, "must be true or false") for name, value in sent.items() if not isinstance(value, bool)]
    return sent


def _rule_id(sent: object) -> UUID | None:
    try:
        return UUID(sent) if isinstance(sent, str) else None
    except ValueError:
        return None


def _time(
    body: dict[str, Any], name: str, default: datetime | None, now: datetime, errors: list[FieldError]
) -> datetime:
    sent = default if body.get(name) is None else body[name]
    at = sent if isinstance(sent, datetime) else read_time_or_age(sent, now) if isinstance(sent, str) else None
    if at is not None and at.tzinfo is not None and EARLIEST.year <= at.year < 9999:
        return at.astimezone(UTC)
    wanted = "must be a time such as 2026-11-23T06:09:00Z, or an age such as 7d"
    errors.append(FieldError(name, "is required" if sent is None else wanted))
    return EARLIEST


def rule_from_definition(parsed: RuleDefinition, since: datetime) -> Rule:
    """Return a definition as a rule that started at a time."""
    body = definition.as_json(parsed)
    return Rule(
        id=uuid4(),
        epoch=1,
        name=parsed.name,
        severity=parsed.severity,
        log_type=parsed.log_type,
        filters={field: frozenset(values) for field, values in body["filters"].items() if values},
        pattern_type=parsed.pattern_type,
        pattern_value=parsed.pattern_value,
        condition=parsed.condition,
        group_by=tuple(parsed.group_by),
        schedule=body["schedule"],
        started_at=since,
        resolve_after_minutes=parsed.resolve_after_minutes,
        renotify_minutes=parsed.renotify_minutes,
        cooldown_minutes=parsed.cooldown_minutes,
    )
