"""The errors of a rule by the fields of its form. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from app.api.console.rule_form import CONDITION_FIELDS, LABELS, RuleForm
from app.errors import FieldError

_POSITION = re.compile(r"at (?:line (?P<line>\d+), )?character (?P<character>\d+)")


class FormError(NamedTuple):
    """A field that cannot be used."""

    field: str
    """Name of the form's field."""
    text: str
    """A sentence about it."""


def errors_of(form: RuleForm, errors: Sequence[FieldError]) -> list[FormError]:
    """Return the errors of a body by the fields of the form, in the order of the form."""
    found = [FormError(field_of(form, error.field), _sentence(error)) for error in errors]
    order = [*LABELS]
    return sorted(
        found, key=lambda error: order.index(_label_key(error.field)) if _label_key(error.field) in order else 0
    )


def field_of(form: RuleForm, path: str) -> str:
    """Return the form's field for a path of the body."""
    if path.startswith("condition."):
        name = path.removeprefix("condition.")
        return "condition" if name == "type" else f"{form.condition}.{name}"
    return "schedule.start" if path == "schedule" else path


class Pointer(NamedTuple):
    """The position in a pattern that an error names."""

    before: str
    at: str
    after: str


def pointer(pattern: str, error: str) -> Pointer | None:
    """Find the position in the pattern that an error names; None if it names none."""
    found = _POSITION.search(error)
    if found is None:
        return None
    lines = pattern.splitlines() or [""]
    line = lines[min(int(found["line"] or 1), len(lines)) - 1]
    index = min(max(int(found["character"]) - 1, 0), len(line))
    return Pointer(line[:index], line[index : index + 1] or " ", line[index + 1 :])


def label_of(path: str) -> str:
    """Return what people call a field, by its path in the body."""
    return LABELS.get(path) or LABELS.get(path.removeprefix("condition.")) or path.replace("_", " ")


def _label_key(field: str) -> str:
    condition, _, name = field.partition(".")
    return name if condition in CONDITION_FIELDS else field


def _sentence(error: FieldError) -> str:
    return f"{label_of(error.field)} {error.message}."
