"""The form of an account: turns posted fields into a body for the service. Secrets are never written back. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from app.api.console.access import Form
from app.errors import FieldError, InvalidInput
from app.services.ingest.credentials import SECRET_FIELDS
from app.utils import sids

LABELS = {
    "sid": "Account SID",
    "friendly_name": "Name",
    "auth_token": "Auth token",
    "next_auth_token": "Next auth token",
    "api_key_sid": "Key SID",
    "api_key_secret": "Key secret",
    "signing_keys": "Your own signing keys",
    "api_base_url": "Address for calls and messages",
    "monitor_base_url": "Address for the error log",
    "enabled": "Watch it",
    "include_subaccounts": "Watch its subaccounts, too",
}
TEXTS = ("friendly_name", "api_key_sid", "api_base_url", "monitor_base_url")
FLAGS = ("enabled", "include_subaccounts")
ENVIRONMENTS = frozenset({"auth_token", "api_key_sid", "api_key_secret", "include_subaccounts"})
"""Fields of the environment's account that no form changes."""
UNSEEN = frozenset({*SECRET_FIELDS, "signing_keys"})
"""Fields that are never written back."""
EMPTY = {"enabled": "yes"}


def read(form: Form, shown: Mapping[str, Any] | None) -> dict[str, Any]:
    """Read the fields of a new account, or those that differ from the account that is edited.

    Args:    shown: the account as it is stored; an empty secret keeps the stored one.
    """
    body: dict[str, Any] = {name: form.get(name) or None for name in TEXTS}
    body |= {name: form.get(name) == "yes" for name in FLAGS}
    body |= {name: value for name in SECRET_FIELDS if (value := form.get(name))}
    if form.get("forget_next") and "next_auth_token" not in body:
        body["next_auth_token"] = None
    if keys := form.get("signing_keys"):
        body["signing_keys"] = _signing_keys(keys)
    elif form.get("forget_keys"):
        body["signing_keys"] = None
    if shown is None:
        return {"sid": _sid(form.get("sid"))} | {name: value for name, value in body.items() if value is not None}
    if shown["api_key_sid"] and body["api_key_sid"] is None:
        body["api_key_secret"] = None
    kept = ENVIRONMENTS if shown["from_environment"] else frozenset()
    return {
        name: value for name, value in body.items() if name not in kept and (name in UNSEEN or shown[name] != value)
    }


def _sid(typed: str) -> str:
    """Return a sid as Twilio writes it; other text unchanged."""
    return f"AC{typed[2:].lower()}" if re.fullmatch(sids.ACCOUNT_SID, typed, re.IGNORECASE) else typed


def _signing_keys(text: str) -> dict[str, str]:
    """Read keys from lines such as `my-key=secret`.

    Raises: InvalidInput.
    """
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    if not all(mark for _, mark, _ in pairs):
        raise InvalidInput([FieldError("signing_keys", "must be lines such as my-key=secret")])
    return {name.strip(): key.strip() for name, _, key in pairs}


def write(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's fields for an account."""
    texts = {name: shown[name] or "" for name in TEXTS}
    return texts | {name: "yes" for name in FLAGS if shown[name]}


def typed(form: Form) -> dict[str, str]:
    """Return the typed values, to show them again, without secrets."""
    return {name: value.strip() for name, value in form.typed().items() if name not in UNSEEN}
