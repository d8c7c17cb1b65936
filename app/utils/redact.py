"""Hides what must not be seen: phone numbers in notifications, secrets in answers."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

HIDDEN = "•••"
SHORTEST_SECRET = 6
"""What is shorter is found in any text by chance."""
NUMBER = re.compile(r"(?<![\w+])\+?[1-9]\d{6,14}(?!\w)")
"""E.164 with its plus, or as long a run of digits without it, that is no part of a word or a sid."""
ASIDE = frozenset(
    {"id", "sid", "account_sid", "rule_id", "sample_sids", "messaging_service_sid", "resource_sid", "docs"}
)
"""Fields that hold no number, whatever their digits look like."""


def mask_number(number: str) -> str:
    """Hide the middle of a phone number: `+14155550100` becomes `+1415•••0100`."""
    kept = 5 if number.startswith("+") else 4
    return number[:kept] + HIDDEN + number[-4:] if len(number) >= kept + 6 else number[:2] + HIDDEN + number[-2:]


def mask_numbers(value: Any) -> Any:
    """Hide the phone numbers in every text of a JSON value; sids and ids stay as they are."""
    if isinstance(value, str):
        return NUMBER.sub(lambda found: mask_number(found.group()), value)
    if isinstance(value, dict):
        return {name: part if name in ASIDE else mask_numbers(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [mask_numbers(part) for part in value]
    return value


def mask_secret(secret: str, prefix: str = "") -> str:
    """Show of a secret its prefix and its last four characters, if it is long enough to spare them."""
    return prefix + HIDDEN + (secret[-4:] if len(secret) >= 16 else "")


def mask_url(url: str) -> str:
    """Hide a URL's userinfo and query: both carry secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = f"{HIDDEN}@" if "@" in parts.netloc else ""
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{userinfo}{host}{parts.path}{query}"


def plain_url(url: str) -> str:
    """Leave a URL's userinfo and query out."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def clean_text(value: str, limit: int) -> str:
    """Make foreign text fit to store and show: no NUL, no lone surrogates, at most `limit` characters."""
    return value.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")[:limit]


def hide(text: str, secrets: Iterable[str]) -> str:
    """Hide secrets in foreign text, one that its end cuts off too; what is shorter than a secret stays."""
    spelled = {way for secret in secrets if len(secret) >= SHORTEST_SECRET for way in _spellings(secret)}
    for secret in sorted(spelled, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
        cut_off = (size for size in range(len(secret) - 1, SHORTEST_SECRET - 1, -1) if text.endswith(secret[:size]))
        if size := next(cut_off, 0):
            text = text[:-size] + HIDDEN
    return text


def _spellings(secret: str) -> set[str]:
    """Spell a secret as those do who give it back: as it is, in JSON, HTML, a URL, and in base64 as logins send it."""
    in_json = json.dumps(secret)[1:-1]
    in_base64 = b64encode(secret.encode("utf-8", "replace")).decode().rstrip("=")
    return {
        secret,
        in_json,
        in_json.replace("/", "\\/"),
        html.escape(secret),
        quote(secret, safe="", errors="replace"),
        in_base64,
    }
