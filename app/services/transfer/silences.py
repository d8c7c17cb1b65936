"""Silences in a document."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from app.errors import FieldError, InvalidInput
from app.models import Silence
from app.services.alerts import silences
from app.services.alerts.recurrence import Repeat, Validity
from app.services.rules import definition
from app.services.rules.fields import GROUP_FIELDS
from app.services.transfer.context import TransferContext
from app.services.transfer.document import slug_of
from app.utils.calendar_edges import to_zone
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject


class Silences:
    """Silences that have not ended. An edited silence is ended and created again."""

    name = "silence"
    fields = frozenset({"rule", "group", "starts_at", "ends_at", "repeat", "reason"})

    def lock(self, context: TransferContext) -> None:
        """Nothing waits for a silence while it holds anything that an import needs."""

    def is_unchanged(self, context: TransferContext, item: Silence, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        return list(entries)

    def stored(self, context: TransferContext) -> Sequence[Silence]:
        return silences.not_ended(context.session, context.now)

    def slug(self, item: Silence) -> str:
        return slug_of(self.name, item.reason, item.id)

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:
        ends_at = _time(entry.get("ends_at"))
        return ends_at is not None and ends_at <= context.now

    def show(self, context: TransferContext, item: Silence) -> JsonObject:
        return {
            "rule": context.names.rule_slug(item.rule_id),
            "group": item.group,
            "starts_at": rfc3339(item.starts_at),
            "ends_at": rfc3339_or_none(item.ends_at),
            "repeat": item.repeat,
            "reason": item.reason,
        }

    def audited(self, context: TransferContext, item: Silence) -> JsonObject:
        return self.show(context, item)

    def create(self, context: TransferContext, entry: JsonObject) -> Silence:
        starts_at, ends_at = _time(entry.get("starts_at")), _time(entry.get("ends_at"))
        errors = self._faults(entry)
        if errors or starts_at is None:
            raise InvalidInput(errors)
        group, reason = entry.get("group", {}), entry.get("reason", "")
        wanted = Validity.of(starts_at, ends_at, _repeat(entry.get("repeat")))
        rule_id = context.names.rule_id(entry)
        return silences.create(context.session, rule_id, group, wanted, reason, context.by, context.now)

    def _faults(self, entry: JsonObject) -> list[FieldError]:
        errors = [FieldError(str(name)[:50], "is not a known field") for name in entry if name not in self.fields]
        group, reason = entry.get("group", {}), entry.get("reason", "")
        if not isinstance(group, dict) or not set(group) <= set(GROUP_FIELDS):
            errors.append(FieldError("group", "must contain only fields that rules group by"))
        elif not all(value is None or type(value) in (str, int) for value in group.values()):
            errors.append(FieldError("group", "must contain texts, whole numbers and null"))
        if not isinstance(reason, str) or len(reason) > definition.MAX_TEXT_LENGTH:
            errors.append(FieldError("reason", f"must be a string of at most {definition.MAX_TEXT_LENGTH} characters"))
        message = "must be a time with its offset, such as 2026-11-23T06:09:00Z"
        never_ends = entry.get("ends_at") is None and entry.get("repeat") is not None
        times = ("starts_at",) if never_ends else ("starts_at", "ends_at")
        return errors + [FieldError(name, message) for name in times if _time(entry.get(name)) is None]

    def update(self, context: TransferContext, item: Silence, entry: JsonObject) -> Silence:
        silences.delete(context.session, item.id)
        return self.create(context, entry)

    def errors(self, context: TransferContext) -> dict[UUID, FieldError]:  # noqa: ARG002  # the protocol's
        return {}

    def delete(self, context: TransferContext, item: Silence) -> None:
        silences.delete(context.session, item.id)

    def dependents(self, context: TransferContext, item: Silence) -> Sequence[Silence]:  # noqa: ARG002  # the protocol's
        return []

    def warnings(self, context: TransferContext, item: Silence) -> list[FieldError]:
        return silences.list_warnings(context.session, [item])[item.id]


def _repeat(value: Any) -> Repeat | None:
    """Read when a silence repeats.

    Raises: InvalidInput, with paths in the entry.
    """
    try:
        return None if value is None else Repeat.model_validate(value)
    except ValidationError as error:
        raise InvalidInput.from_validation(error, "repeat") from None


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if at.tzinfo is None else to_zone(at, UTC)
