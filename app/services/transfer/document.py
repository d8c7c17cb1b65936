"""The document of rules, actions and silences: its structure and its slugs. Pure."""

import re
import unicodedata
from typing import Any
from uuid import UUID

from app.errors import FieldError, InvalidInput
from app.utils.json_types import JsonObject

VERSION = 1
KINDS = ("rule", "action", "silence")
"""In order of creation: actions and silences refer to rules. The document uses the plurals."""
SLUG = re.compile(r"[a-z0-9][a-z0-9._/-]{0,199}")
DOCUMENT_FIELDS = {"version", *(f"{kind}s" for kind in KINDS)}


def slug_of(kind: str, name: str, object_id: UUID) -> str:
    """Create a slug for an object that has none in a document yet: readable and stable.

    It ends with the first digits of the id, which make it unique and identify the object after it was renamed.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
    return f"{words or kind}-{object_id.hex[:8]}"


def read(content: Any) -> dict[str, dict[str, JsonObject]]:
    """Parse a document into entries by kind and slug.

    Raises: InvalidInput, naming each field by its path.
    """
    if not isinstance(content, dict):
        raise InvalidInput([FieldError("body", "must be an object with `version`, `rules`, `actions` and `silences`")])
    errors = [FieldError(str(name)[:50], "is not a known field") for name in content if name not in DOCUMENT_FIELDS]
    if content.get("version") != VERSION:
        errors.append(FieldError("version", f"must be {VERSION}"))
    entries: dict[str, dict[str, JsonObject]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        errors += _read_kind(content.get(f"{kind}s", []), f"{kind}s", entries[kind])
    if errors:
        raise InvalidInput(errors)
    return entries


def _read_kind(items: Any, path: str, into: dict[str, JsonObject]) -> list[FieldError]:
    if not isinstance(items, list):
        return [FieldError(path, "must be a list")]
    errors = []
    for index, item in enumerate(items):
        where = f"{path}.{index}"
        if not isinstance(item, dict):
            errors.append(FieldError(where, "must be an object"))
            continue
        slug = item.get("slug")
        if not isinstance(slug, str) or not SLUG.fullmatch(slug):
            errors.append(FieldError(f"{where}.slug", "must be a name of lower-case letters, digits and . _ / -"))
        elif slug in into:
            errors.append(FieldError(f"{where}.slug", "occurs twice"))
        else:
            into[slug] = {name: value for name, value in item.items() if name != "slug"}
    return errors


def difference(before: JsonObject | None, after: JsonObject | None) -> JsonObject:
    """Compare two entries field by field."""
    before, after = before or {}, after or {}
    names = [*after, *(name for name in before if name not in after)]
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    }
