"""Masks phone numbers in notifications and secrets in responses."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from app.utils.phone_spellings import Spelling, find_numbers, find_own, own_numbers, own_pattern

HIDDEN = "•••"
MIN_SECRET_LENGTH = 6
"""Shorter texts occur anywhere by chance."""
OWN_FIELDS = ("from", "to")
UNMASKED_FIELDS = frozenset(
    {"id", "sid", "account_sid", "rule_id", "sample_sids", "messaging_service_sid", "resource_sid", "docs"}
)
"""Fields without phone numbers, even if their digits look like one."""


def mask_number(number: str) -> str:
    """Mask the middle of a phone number: `+14155550100` becomes `+1415•••0100`."""
    kept = 5 if number.startswith("+") else 4
    return number[:kept] + HIDDEN + number[-4:] if len(number) >= kept + 6 else number[:2] + HIDDEN + number[-2:]


def mask_numbers(value: Any, about: Any = None) -> Any:
    """Mask the phone numbers in every text of a JSON value, except in SIDs and ids.

    Digits without a plus can be anything: of these, only the value's own `from` and `to` are masked.

    Args:    about: what the value is about: its `from` and `to` count as the value's own.
    """
    return _mask(value, own_pattern(_own_numbers([value, about])))


def _mask(value: Any, own: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        masked = _replace(value, ((found, mask_number("+" + found.digits)[1:]) for found in find_numbers(value)))
        return _mask_own(masked, own) if own else masked
    if isinstance(value, dict):
        return {name: part if name in UNMASKED_FIELDS else _mask(part, own) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(part, own) for part in value]
    return value


def _mask_own(text: str, own: re.Pattern[str]) -> str:
    """Mask own numbers. Without the calling code, fewer digits are shown."""
    found = find_own(text, own)
    return _replace(
        text, ((each, mask_number(each.digits) if whole else HIDDEN + each.digits[-4:]) for each, whole in found)
    )


def _replace(text: str, replacements: Iterable[tuple[Spelling, str]]) -> str:
    parts, at = [], 0
    for found, shown in replacements:
        parts += [text[at : found.start], shown]
        at = found.end
    return "".join([*parts, text[at:]]) if parts else text


def _own_numbers(value: Any) -> Iterator[str]:
    """Yield the digits of the numbers that a log, an alert or a rule is about."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in OWN_FIELDS:
                for address in part if isinstance(part, list) else [part]:
                    yield from own_numbers(address) if isinstance(address, str) else ()
            else:
                yield from _own_numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _own_numbers(part)


def mask_secret(secret: str, prefix: str = "") -> str:
    """Return the prefix of a secret and its last four characters, if it is long enough."""
    return prefix + HIDDEN + (secret[-4:] if len(secret) >= 16 else "")


def mask_url(url: str) -> str:
    """Mask a URL's userinfo and query: both contain secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = f"{HIDDEN}@" if "@" in parts.netloc else ""
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{userinfo}{host}{parts.path}{query}"


def plain_url(url: str) -> str:
    """Remove a URL's userinfo and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def clean_text(value: str, limit: int) -> str:
    """Make foreign text storable: no NUL, no lone surrogates, at most `limit` characters."""
    return value.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")[:limit]


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Mask secrets in foreign text, including one that its end cuts off. Texts shorter than a secret are kept."""
    spelled = {way for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for way in _spellings(secret)}
    for secret in sorted(spelled, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
        cut_off = (size for size in range(len(secret) - 1, MIN_SECRET_LENGTH - 1, -1) if text.endswith(secret[:size]))
        if size := next(cut_off, 0):
            text = text[:-size] + HIDDEN
    return text


def _spellings(secret: str) -> set[str]:
    """Return the encodings in which a secret may be echoed: plain, JSON, HTML, URL, and base64 as in a login."""
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
