"""The shared input of an export or import: the session, and the slugs of all objects."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import FieldError, InvalidInput
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
