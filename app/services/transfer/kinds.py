"""How a document represents each kind of object, and how an import creates, edits and deletes it.

Edits use the services of the API, so an import can do no more than a series of API calls.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.models import Action, Rule, Silence
from app.services import rule_admin
from app.services.alerts import silences
from app.services.alerts.recurrence import Repeat, Validity
from app.services.outbox import actions
from app.services.outbox.rows import config_or_empty
from app.services.rules import definition
from app.services.rules.fields import GROUP_FIELDS
from app.services.transfer import references
from app.services.transfer.document import slug_of
from app.utils import validation_messages
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject


@dataclass
class Names:
    """The slugs of all objects while a document is written or read."""

    ids: dict[tuple[str, str], UUID] = field(default_factory=dict)
    """(kind, slug) to id."""
    slugs: dict[tuple[str, UUID], str] = field(default_factory=dict)
    """(kind, id) to slug."""
    references: dict[UUID, dict[str, str]] = field(default_factory=dict)
    """How an object's config refers to variables, by the object's id."""

    def put(self, kind: str, slug: str, object_id: UUID) -> None:
        """Add a slug."""
        self.ids[kind, slug] = object_id
        self.slugs[kind, object_id] = slug

    def rule_id(self, entry: JsonObject) -> UUID | None:
        """Return the id of the rule that an entry refers to.

        Raises: InvalidInput if there is no such rule.
        """
        slug = entry.get("rule")
        if slug is None:
            return None
        if not isinstance(slug, str) or ("rule", slug) not in self.ids:
            raise InvalidInput([FieldError("rule", "must be the slug of a rule of this document, or of the server")])
        return self.ids["rule", slug]

    def rule_ids(self, entry: JsonObject, name: str) -> list[str]:
        """Return the ids of the rules that a field of an entry lists.

        Raises: InvalidInput if one does not exist yet.
        """
        slugs = entry.get(name, [])
        if not isinstance(slugs, list) or not all(isinstance(each, str) for each in slugs):
            raise InvalidInput([FieldError(name, "must be a list of slugs of rules")])
        if any(("rule", each) not in self.ids for each in slugs):
            wanted = "must list slugs of rules of this document, or of the server, that do not depend on this rule"
            raise InvalidInput([FieldError(name, wanted)])
        return [str(self.ids["rule", each]) for each in slugs]

    def rule_slug(self, rule_id: UUID | None) -> str | None:
        """Return the slug of a rule; None if it was deleted."""
        return None if rule_id is None else self.slugs.get(("rule", rule_id))


@dataclass(frozen=True)
class TransferContext:
    """Shared input of all steps of an export or import."""

    session: Session
    names: Names
    settings: Settings
    by: str
    """The author of the import."""
    now: datetime


class ResourceKind(Protocol):
    """The interface of the three kinds."""

    name: str

    def stored(self, context: TransferContext) -> Sequence[Any]:
        """List the objects that a document contains."""

    def slug(self, item: Any) -> str:
        """Create a slug for an object that has none in a document yet."""

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        """Return the slugs of entries in the order in which they are applied."""

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:
        """Return whether an entry has expired and can be skipped."""

    def show(self, context: TransferContext, item: Any) -> JsonObject:
        """Serialize an object as its entry; secrets are masked or references."""

    def audited(self, context: TransferContext, item: Any) -> JsonObject:
        """Serialize an object for the audit; secrets are fingerprints."""

    def create(self, context: TransferContext, entry: JsonObject) -> Any:
        """Create an object from its entry.

        Raises: InvalidInput, with fields of the entry.
        """

    def update(self, context: TransferContext, item: Any, entry: JsonObject) -> Any:
        """Update an object to match its entry.

        Raises: InvalidInput, with fields of the entry.
        """

    def delete(self, context: TransferContext, item: Any) -> None:
        """Delete an object."""

    def dependents(self, context: TransferContext, item: Any) -> Sequence[Any]:
        """List the objects of this kind that change when an object is deleted."""

    def faults(self, context: TransferContext) -> dict[UUID, FieldError]:
        """Find the objects that cannot stay as they are now that all are edited."""

    def warnings(self, context: TransferContext, item: Any) -> list[FieldError]:
        """List fields that may not have the intended effect."""


class Rules:
    """Rules."""

    name = "rule"

    def stored(self, context: TransferContext) -> Sequence[Rule]:
        return context.session.scalars(select(Rule).order_by(Rule.created_at, Rule.id)).all()

    def slug(self, item: Rule) -> str:
        return item.slug or slug_of(self.name, item.name, item.id)

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        """Order rules so that each comes after those that it depends on."""
        ordered: dict[str, None] = {}
        path: set[str] = set()

        def visit(slug: str) -> None:
            named = entries[slug].get("depends_on")
            path.add(slug)
            for each in named if isinstance(named, list) else ():
                if isinstance(each, str) and each in entries and each not in path and each not in ordered:
                    visit(each)
            path.discard(slug)
            ordered[slug] = None

        for slug in entries:
            if slug not in ordered:
                visit(slug)
        return list(ordered)

    def show(self, context: TransferContext, item: Rule) -> JsonObject:
        shown = definition.as_json(definition.from_row(item))
        shown["depends_on"] = [context.names.rule_slug(each) for each in item.depends_on]
        return shown | {"filters": {name: values for name, values in shown["filters"].items() if values}}

    def audited(self, context: TransferContext, item: Rule) -> JsonObject:
        return self.show(context, item)

    def create(self, context: TransferContext, entry: JsonObject) -> Rule:
        return rule_admin.create(context.session, self._body(context, entry), context.settings, context.now)

    def update(self, context: TransferContext, item: Rule, entry: JsonObject) -> Rule:
        body = self._body(context, entry)
        return rule_admin.replace(context.session, item.id, body, context.settings, context.now, may_circle=True)

    def faults(self, context: TransferContext) -> dict[UUID, FieldError]:
        return dict.fromkeys(rule_admin.circular(context.session), rule_admin.CIRCLE)

    def _body(self, context: TransferContext, entry: JsonObject) -> JsonObject:
        return entry | {"depends_on": context.names.rule_ids(entry, "depends_on")}

    def delete(self, context: TransferContext, item: Rule) -> None:
        rule_admin.delete(context.session, item.id, context.settings, context.now)

    def dependents(self, context: TransferContext, item: Rule) -> Sequence[Rule]:
        return rule_admin.dependents(context.session, item.id)

    def warnings(self, context: TransferContext, item: Rule) -> list[FieldError]:
        return rule_admin.warnings(context.session, definition.from_row(item), context.settings)


class Actions:
    """Actions. Their configs contain secrets."""

    name = "action"

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        return list(entries)

    def stored(self, context: TransferContext) -> Sequence[Action]:
        return context.session.scalars(select(Action).order_by(Action.created_at, Action.id)).all()

    def slug(self, item: Action) -> str:
        return slug_of(self.name, item.action_type, item.id)

    def is_over(self, context: TransferContext, entry: JsonObject) -> bool:  # noqa: ARG002  # the protocol's
        return False

    def show(self, context: TransferContext, item: Action) -> JsonObject:
        clear, masked = config_or_empty(item, context.settings), actions.masked_config(item, context.settings)
        config = references.restore(masked, clear, context.names.references.get(item.id, {}), os.environ)
        return self._entry(context, item, config)

    def audited(self, context: TransferContext, item: Action) -> JsonObject:
        return self._entry(context, item, actions.to_audit_json(item, context.settings)["config"])

    def _entry(self, context: TransferContext, item: Action, config: JsonObject) -> JsonObject:
        fields = {name: value for name, value in actions.body_of(item, config).items() if name != "rule_id"}
        return {"rule": context.names.rule_slug(item.rule_id), **fields}

    def create(self, context: TransferContext, entry: JsonObject) -> Action:
        body = self._body(context, entry)
        if errors := references.masked(body["config"], "config"):
            raise InvalidInput(errors)
        return actions.create(context.session, body, context.settings, context.now)[0]

    def update(self, context: TransferContext, item: Action, entry: JsonObject) -> Action:
        body = self._body(context, entry)
        stored = config_or_empty(item, context.settings)
        if "secret" in stored and body["config"].get("secret") is None:
            # If a document leaves the secret to be generated, later imports must keep it.
            body["config"] = {**body["config"], "secret": stored["secret"]}
        return actions.replace(context.session, item.id, body, context.settings, context.now)[0]

    def _body(self, context: TransferContext, entry: JsonObject) -> JsonObject:
        if not isinstance(entry.get("config"), dict):
            raise InvalidInput([FieldError("config", "must be an object")])
        rule_id = context.names.rule_id(entry)
        return {
            **{name: value for name, value in entry.items() if name != "rule"},
            "config": references.resolve(entry["config"], os.environ, "config"),
            "rule_id": None if rule_id is None else str(rule_id),
        }

    def faults(self, context: TransferContext) -> dict[UUID, FieldError]:  # noqa: ARG002  # the protocol's
        return {}

    def delete(self, context: TransferContext, item: Action) -> None:
        actions.delete(context.session, item.id, context.now)

    def dependents(self, context: TransferContext, item: Action) -> Sequence[Action]:  # noqa: ARG002  # the protocol's
        return []

    def warnings(self, context: TransferContext, item: Action) -> list[FieldError]:  # noqa: ARG002  # the protocol's
        return []


class Silences:
    """Silences that have not ended. An edited silence is ended and created again."""

    name = "silence"
    fields = frozenset({"rule", "group", "starts_at", "ends_at", "repeat", "reason"})

    def order(self, entries: Mapping[str, JsonObject]) -> list[str]:
        return list(entries)

    def stored(self, context: TransferContext) -> Sequence[Silence]:
        return silences.current(context.session, context.now)

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
        errors = [FieldError(str(name)[:50], "is not known here") for name in entry if name not in self.fields]
        group, reason = entry.get("group", {}), entry.get("reason", "")
        if not isinstance(group, dict) or not set(group) <= set(GROUP_FIELDS):
            errors.append(FieldError("group", "must hold only fields that rules group by"))
        elif not all(value is None or type(value) in (str, int) for value in group.values()):
            errors.append(FieldError("group", "must hold texts, whole numbers and null"))
        if not isinstance(reason, str) or len(reason) > definition.MAX_TEXT_LENGTH:
            errors.append(FieldError("reason", f"must be a text of at most {definition.MAX_TEXT_LENGTH} characters"))
        message = "must be a time with its offset, such as 2026-11-23T06:09:00Z"
        never_ends = entry.get("ends_at") is None and entry.get("repeat") is not None
        times = ("starts_at",) if never_ends else ("starts_at", "ends_at")
        return errors + [FieldError(name, message) for name in times if _time(entry.get(name)) is None]

    def update(self, context: TransferContext, item: Silence, entry: JsonObject) -> Silence:
        silences.delete(context.session, item.id)
        return self.create(context, entry)

    def faults(self, context: TransferContext) -> dict[UUID, FieldError]:  # noqa: ARG002  # the protocol's
        return {}

    def delete(self, context: TransferContext, item: Silence) -> None:
        silences.delete(context.session, item.id)

    def dependents(self, context: TransferContext, item: Silence) -> Sequence[Silence]:  # noqa: ARG002  # the protocol's
        return []

    def warnings(self, context: TransferContext, item: Silence) -> list[FieldError]:
        return silences.warnings(context.session, item)


def _repeat(value: Any) -> Repeat | None:
    """Read when a silence repeats.

    Raises: InvalidInput, with paths in the entry.
    """
    try:
        return None if value is None else Repeat.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        raise InvalidInput(
            [
                FieldError(".".join(["repeat", *map(str, item["loc"])]), validation_messages.sentence(item))
                for item in details
            ]
        ) from None


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if at.tzinfo is None else at


KINDS: tuple[ResourceKind, ...] = (Rules(), Actions(), Silences())
