"""The form of an account: turns posted fields into a body for the service. Secrets are never written back. Pure."""

from collections.abc import Mapping
from typing import Any

from app.api.console.access import Form
from app.services.ingest.account_admin import CREDENTIAL_FIELDS, SECRET_FIELDS

LABELS = {
    "sid": "Account SID",
    "friendly_name": "Name",
    "auth_token": "Auth token",
    "next_auth_token": "Next auth token",
    "api_key_sid": "Key SID",
    "api_key_secret": "Key secret",
    "api_base_url": "Address for calls and messages",
    "monitor_base_url": "Address for the error log",
}
TEXTS = ("friendly_name", "api_key_sid", "api_base_url", "monitor_base_url")
FLAGS = ("enabled", "include_subaccounts")
ENVIRONMENTS = frozenset({"auth_token", "api_key_sid", "api_key_secret", "include_subaccounts"})
"""Fields of the environment's account that no form changes."""
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
    if shown is None:
        return {"sid": form.get("sid")} | {name: value for name, value in body.items() if value is not None}
    if shown["api_key_sid"] and body["api_key_sid"] is None:
        body["api_key_secret"] = None
    kept = ENVIRONMENTS if shown["from_environment"] else frozenset()
    return {
        name: value
        for name, value in body.items()
        if name not in kept and (name in SECRET_FIELDS or shown[name] != value)
    }


def write(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's fields for an account."""
    texts = {name: shown[name] or "" for name in TEXTS}
    return texts | {name: "yes" for name in FLAGS if shown[name]}


def typed(form: Form) -> dict[str, str]:
    """Return the typed values, to show them again, without secrets."""
    return {name: value for name, value in form.typed().items() if name not in SECRET_FIELDS}


def names_credentials(body: Mapping[str, Any]) -> bool:
    """Check whether an edit changes how Twilio is read."""
    return bool({*CREDENTIAL_FIELDS} & body.keys())
