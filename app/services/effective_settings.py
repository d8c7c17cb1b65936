"""The settings in effect and where each comes from. Of a secret, only whether it is set."""

from collections.abc import Mapping
from typing import NamedTuple

from app.config import Settings, secret_names


class EffectiveSetting(NamedTuple):
    """One setting, without its secret."""

    name: str
    """In upper case, as in the environment."""
    value: str | None
    """As the environment would have it; None for a secret, and if it is not set."""
    is_secret: bool
    is_set: bool
    origin: str | None
    """Where it comes from; None: it is the default."""


def list_settings(settings: Settings, origins: Mapping[str, str]) -> list[EffectiveSetting]:
    """List all settings by name.

    Args:    origins: of those that are not defaults, by name in upper case.
    """
    return sorted(_describe(settings, name, origins.get(name.upper())) for name in Settings.model_fields)


def _describe(settings: Settings, name: str, origin: str | None) -> EffectiveSetting:
    value, is_secret = getattr(settings, name), name.upper() in secret_names()
    is_set = value not in (None, "", ())
    shown = _written(value) if is_set and not is_secret else None
    return EffectiveSetting(name.upper(), shown, is_secret, is_set, origin)


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
