"""Exports the configuration as a document, and applies a document to the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import AdvisoryLock
from app.errors import FieldError, InvalidInput
from app.models import ManagedEntry
from app.services import audit
from app.services.transfer import document, references, yaml_text
from app.services.transfer.context import Names, TransferContext
from app.services.transfer.kinds import KINDS, ResourceKind
from app.utils.json_types import JsonObject


@dataclass(frozen=True)
class Planned:
    """One change of an import, made or planned."""

    kind: str
    slug: str
    change: str
    """`create`, `update` or `delete`."""
    fields: JsonObject
    """Field to `before` and `after`; secrets are fingerprints."""
    warnings: list[FieldError]
    """Fields that may not have the intended effect."""


def export(session: Session, settings: Settings, now: datetime) -> str:
    """Export rules, actions and silences that have not ended as one YAML document."""
    content: JsonObject = {"version": document.VERSION}
    context = TransferContext(session, Names(), settings, "", now)
    for kind in KINDS:
        found = _stored(context, kind)
        content[f"{kind.name}s"] = [{"slug": slug, **kind.show(context, item)} for slug, item in found.items()]
    return yaml_text.dump(content)


def apply_document(
    session: Session,
    text: str,
    settings: Settings,
    by: str,
    now: datetime,
    *,
    prune: bool,
    request_id: str | None = None,
) -> list[Planned]:
    """Apply a document: create or edit the objects that it contains; keep others.

    To show only the difference, the caller rolls back.

    Args:    prune: delete objects that an earlier import created and this document omits.
    Raises:  InvalidInput, naming each field by its path in the document.
    """
    session.execute(select(func.pg_advisory_xact_lock(AdvisoryLock.IMPORT)))
    entries = document.read(yaml_text.load(text))
    context = TransferContext(session, Names(), settings, by, now)
    runs = [_KindImport(context, kind, _stored(context, kind), entries[kind.name], request_id) for kind in KINDS]
    errors: list[FieldError] = []
    planned: list[Planned] = []
    for run in runs:
        if prune and run.omitted():
            # Not when they are deleted: by then, locks are held that everybody else takes after these.
            run.lock()
        for slug in run.kind.order(run.entries):
            try:
                planned += run.apply(slug)
            except InvalidInput as error:
                errors += run.locate(slug, error.errors)
    for run in reversed(runs if prune and not errors else []):
        planned += run.prune()
    for run in [] if errors else runs:
        errors += run.errors()
    if errors:
        raise InvalidInput(errors)
    return planned


def _stored(context: TransferContext, kind: ResourceKind) -> dict[str, Any]:
    """Load all objects of a kind by their slugs, and register the slugs."""
    managed = context.session.scalars(select(ManagedEntry).where(ManagedEntry.kind == kind.name)).all()
    known: dict[UUID, ManagedEntry] = {entry.object_id: entry for entry in managed}
    found = {}
    for item in kind.stored(context):
        entry = known.get(item.id)
        slug = entry.slug if entry else kind.slug(item)
        context.names.put(kind.name, slug, item.id)
        context.names.references[item.id] = entry.references if entry else {}
        found[slug] = item
    return found


@dataclass
class _KindImport:
    """The import of one kind."""

    context: TransferContext
    kind: ResourceKind
    stored: Mapping[str, Any]
    """The objects before the import, by slug."""
    entries: Mapping[str, JsonObject]
    """The document's entries, by slug."""
    request_id: str | None
    _locked: bool = False

    def lock(self) -> None:
        """Lock what the changes of this kind lock, all at once: changes one by one could deadlock with others."""
        if not self._locked:
            self.kind.lock(self.context)
            self._locked = True

    def apply(self, slug: str) -> list[Planned]:
        """Create or edit one object; nothing if it equals its entry."""
        entry, item = self.entries[slug], self._find(slug)
        if item is None and self.kind.is_over(self.context, entry):
            return []
        kind, context = self.kind, self.context
        if item is not None and kind.is_unchanged(context, item, entry):
            return self._applied(slug, item, None, None)
        self.lock()
        before = None if item is None else kind.audited(context, item)
        with context.session.begin_nested() as step:
            made = kind.create(context, entry) if item is None else kind.update(context, item, entry)
            after = kind.audited(context, made)
            if item is not None and before == after:
                # Nothing differs, so not even the time of the last edit may change.
                step.rollback()
                made = item
        return self._applied(slug, made, before, after)

    def _applied(self, slug: str, made: Any, before: JsonObject | None, after: JsonObject | None) -> list[Planned]:
        """Register an object that is as its entry describes it, and what changed."""
        context, kind = self.context, self.kind
        context.names.put(kind.name, slug, made.id)
        self._manage(slug, made.id, references.used(self.entries[slug].get("config")))
        change, warnings = "create" if before is None else "update", kind.warnings(context, made)
        return self._planned(change, slug, made.id, before, after, warnings)

    def locate(self, slug: str, errors: Sequence[FieldError]) -> list[FieldError]:
        """Prefix the errors of an entry with its path in the document."""
        path = f"{self.kind.name}s.{list(self.entries).index(slug)}"
        return [FieldError(f"{path}.{each.field}", each.message) for each in errors]

    def errors(self) -> list[FieldError]:
        """Find the entries that conflict with others."""
        found = self.kind.errors(self.context)
        slugs = {self.context.names.slugs[self.kind.name, object_id]: error for object_id, error in found.items()}
        return [error for slug in self.entries if slug in slugs for error in self.locate(slug, [slugs[slug]])]

    def _find(self, slug: str) -> Any | None:
        """Find the object of a slug. An object that was renamed is found by the digits of its id."""
        if slug in self.stored:
            return self.stored[slug]
        tails = {name: item for name, item in self.stored.items() if name.endswith(f"-{item.id.hex[:8]}")}
        return next((item for name, item in tails.items() if slug.endswith(name[-9:])), None)

    def omitted(self) -> list[ManagedEntry]:
        """List the objects that an earlier import created and this document omits."""
        managed = select(ManagedEntry).where(ManagedEntry.kind == self.kind.name).order_by(ManagedEntry.slug)
        return [entry for entry in self.context.session.scalars(managed) if entry.slug not in self.entries]

    def prune(self) -> list[Planned]:
        """Delete objects that an earlier import created and this document omits."""
        session, planned = self.context.session, []
        for entry in self.omitted():
            if (item := self.stored.get(entry.slug)) is not None:
                planned += self._delete(entry.slug, item)
            session.delete(entry)
        session.flush()
        return planned

    def _delete(self, slug: str, item: Any) -> list[Planned]:
        """Delete one object; those that depended on it change with it."""
        context, kind = self.context, self.kind
        planned = self._planned("delete", slug, item.id, kind.audited(context, item), None, [])
        before = [(each, kind.audited(context, each)) for each in kind.dependents(context, item)]
        kind.delete(context, item)
        for each, shown in before:
            slug = context.names.slugs[kind.name, each.id]
            planned += self._planned("update", slug, each.id, shown, kind.audited(context, each), [])
        return planned

    def _planned(
        self,
        change: str,
        slug: str,
        object_id: UUID,
        before: JsonObject | None,
        after: JsonObject | None,
        warnings: list[FieldError],
    ) -> list[Planned]:
        fields = document.difference(before, after)
        if not fields:
            return []
        context, action, target = self.context, f"{self.kind.name}.{change}", f"{self.kind.name}:{object_id}"
        audit.record(context.session, context.by, action, target, before, after, context.now, self.request_id)
        return [Planned(self.kind.name, slug, change, fields, warnings)]

    def _manage(self, slug: str, object_id: UUID, used: dict[str, str]) -> None:
        """Record that an import manages the object, and how its config refers to variables."""
        session, kind = self.context.session, self.kind.name
        other = select(ManagedEntry).where(ManagedEntry.kind == kind, ManagedEntry.object_id == object_id)
        entry = session.get(ManagedEntry, (kind, slug)) or session.scalar(other)
        if entry is None:
            session.add(ManagedEntry(kind=kind, slug=slug, object_id=object_id, references=used))
        elif (entry.slug, entry.object_id, entry.references) != (slug, object_id, used):
            entry.slug, entry.object_id, entry.references = slug, object_id, used
        session.flush()
