"""The decrypted config of stored actions, and their names."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson

from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, Severity
from app.models import Action
from app.utils.crypto import Undecryptable, decrypt
from app.utils.json_types import JsonObject


class UnreadableAction(Undecryptable):
    """The stored config is unreadable: the row was tampered with, or a newer version of GiftPulse wrote it."""


def config_of(action: Action, settings: Settings) -> JsonObject:
    """Return the config with its secrets in clear, valid for its kind.

    Raises: Undecryptable.
    """
    text = decrypt(settings.secret_keys, action.config)
    try:
        Severity(action.min_severity)
        kind, config = kind_for(ActionType(action.action_type)), orjson.loads(text)
        usable: JsonObject = config if kind.recipients(config) and kind.mask(config) else {}
    except (ValueError, LookupError, TypeError, AttributeError):
        usable = {}
    if not usable:
        raise UnreadableAction("the stored config of the action is unreadable: save the action again")
    return usable


def config_or_empty(action: Action, settings: Settings) -> JsonObject:
    """Return the config with its secrets in clear; empty if it cannot be decrypted or read."""
    try:
        return config_of(action, settings)
    except Undecryptable:
        return {}


def action_name(action: Action, settings: Settings) -> str:
    """Name an action by its recipients, as its deliveries do."""
    config = config_or_empty(action, settings)
    if not config:
        return f"an action of type {action.action_type}"
    return name_by_recipients(action.action_type, kind_for(ActionType(action.action_type)).recipients(config))


def name_by_recipients(action_type: str, recipients: Sequence[str]) -> str:
    """Name an action by its recipients."""
    # Only the host of a URL: its path may contain a secret.
    first = urlsplit(recipients[0]).netloc if action_type == ActionType.WEBHOOK else recipients[0]
    return f"the {action_type} action to {first}" + (f" and {len(recipients) - 1} more" if recipients[1:] else "")
