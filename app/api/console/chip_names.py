"""Replaces ids in the chips of filters with names."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.api.console.filters import Chip, Filters
from app.config import Settings
from app.services.names import NAMED, names_of

MAX_NAME_LENGTH = 60


def name_chips(session: Session, filters: Filters[Any], labels: Mapping[str, str], settings: Settings) -> list[Chip]:
    """Return the chips with names instead of ids; without a name, the id stays."""
    ids = {
        chip.name: filters.given[chip.name].split(",")
        for chip in filters.chips
        if chip.name in NAMED and not chip.error
    }
    names = names_of(session, ids, settings)
    texts = {
        kind: f"{labels[kind]}: {', '.join(_short(names.get(each, each)) for each in given)}"
        for kind, given in ids.items()
    }
    return [chip._replace(text=texts.get(chip.name, chip.text)) for chip in filters.chips]


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
