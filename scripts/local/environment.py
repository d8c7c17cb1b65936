"""The environment of the processes of `scripts/start`: the operator's settings, then those that we provide."""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from app.environment import local_settings, read_lines
from scripts.local.files import write_whole

GENERATED: Mapping[str, Callable[[], str]] = {
    "API_KEY": lambda: secrets.token_urlsafe(24),
    "SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "INBOX_WEBHOOK_SECRET": lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
}


def given(root: Path, settings: Path) -> dict[str, str]:
    """Read the operator's settings from the environment or else `.env`; an empty value counts as not set.

    Args:    settings: those that the previous start wrote. A shell that imported them does not set them itself.
    Raises:  ConfigError, from the product's own reader of `.env`.
    """
    from_file = {line.name: line.value for line in read_lines(root / ".env") if line.value}
    ours = local_settings(settings)
    exported = {name: value for name, value in os.environ.items() if value and not _is_ours(name, value, ours)}
    return from_file | exported


def _is_ours(name: str, value: str, ours: Mapping[str, str]) -> bool:
    """Return whether a value was written by an earlier start; the private broker's password changes each time."""
    if name == "REDIS_URL" and name in ours:
        return urlsplit(value)[1].rpartition("@")[2] == urlsplit(ours[name])[1].rpartition("@")[2]
    return ours.get(name) == value


def is_given(settings: Mapping[str, str], name: str) -> bool:
    """Return whether a setting is set, directly or through a file."""
    return name in settings or f"{name}_FILE" in settings


def keep_private(path: Path) -> bool:
    """Make `.env` unreadable to other users if we own it; return whether it was readable."""
    try:
        mode = path.stat().st_mode
        if not mode & 0o007:
            return False
        path.chmod(0o600)
    except OSError:
        return False
    return True


def kept_secrets(path: Path) -> dict[str, str]:
    """Read or create the secrets of the first start; only their owner can read the file."""
    kept = {line.name: line.value for line in read_lines(path) if line.value}
    missing = {name: make() for name, make in GENERATED.items() if name not in kept}
    if missing:
        kept |= missing
        text = "".join(f"{name}='{value}'\n" for name, value in kept.items())
        remark = "# Made by scripts/start. SECRET_KEY opens the credentials in the database: keep both together.\n"
        write_whole(path, remark + text)
    return kept


def write_settings(path: Path, settings: Mapping[str, str], operators: Mapping[str, str]) -> None:
    """Write the settings that we provide to where the command line finds them."""
    ours = {name: value for name, value in settings.items() if operators.get(name) != value}
    write_whole(path, json.dumps(ours, indent=1, sort_keys=True))


def watches_simulator(settings: Mapping[str, str]) -> bool:
    """Return whether no Twilio credential is set at all; an incomplete one is an error that the product explains."""
    return not any(is_given(settings, f"TWILIO_{name}") for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY_SID"))


def demo_settings(
    settings: Mapping[str, str], account: tuple[str, str], twilio_url: str, smtp_port: int
) -> dict[str, str]:
    """Return the settings that differ while the simulator is watched; those of the operator are kept."""
    sid, token = account
    networks = [part for part in settings.get("WEBHOOK_ALLOWED_NETWORKS", "").split(",") if part.strip()]
    defaults = {
        "POLL_INTERVAL_SECONDS": "5",
        "EVALUATE_INTERVAL_SECONDS": "5",
        "TWILIO_MAX_REQUESTS_PER_MINUTE": "1200",
        **inbox_settings(smtp_port),
    }
    return {
        **{name: value for name, value in defaults.items() if not is_given(settings, name)},
        **settings,
        "TWILIO_ACCOUNT_SID": sid,
        "TWILIO_AUTH_TOKEN": token,
        "TWILIO_API_BASE_URL": twilio_url,
        "TWILIO_MONITOR_BASE_URL": twilio_url,
        "WEBHOOK_ALLOWED_NETWORKS": ",".join([*networks, "127.0.0.0/8"]),
    }


def inbox_settings(smtp_port: int) -> dict[str, str]:
    """Send mail to the inbox."""
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "GiftPulse <giftpulse@localhost>",
    }
