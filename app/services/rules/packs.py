"""Rule packs: reads those that come with GiftPulse, from `templates/rules/`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from app.errors import NotFound
from app.services.rules.definition import RuleDefinition, as_json, parse_rule

FOLDER = Path(__file__).resolve().parents[3] / "templates" / "rules"


@dataclass(frozen=True)
class PackedRule:
    """One rule of a pack."""

    slug: str
    """`<pack>/<rule>`: identifies an installed rule even after edits."""
    definition: RuleDefinition


@dataclass(frozen=True)
class Pack:
    """A named set of related rules."""

    name: str
    description: str
    rules: tuple[PackedRule, ...]

    def as_json(self) -> dict[str, Any]:
        """Serialize the pack with the bodies of its rules."""
        rules = [as_json(rule.definition) for rule in self.rules]
        return {"name": self.name, "description": self.description, "rules": rules}


@cache
def list_packs() -> tuple[Pack, ...]:
    """List all packs, by name."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.yaml")))


def find_pack(name: str) -> Pack:
    """Return a pack.

    Raises: NotFound.
    """
    for pack in list_packs():
        if pack.name == name:
            return pack
    raise NotFound("there is no rule pack of this name; GET /api/rule-packs lists them")


def _read(path: Path) -> Pack:
    """Read one file. Its rules are validated as if a user had sent them."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = tuple(PackedRule(f"{path.stem}/{body.pop('slug')}", parse_rule(body)) for body in content["rules"])
    return Pack(path.stem, content["description"], rules)
