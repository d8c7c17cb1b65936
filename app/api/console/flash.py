"""The message that the next page shows once, in a signed cookie."""

import hashlib
from typing import NamedTuple

import orjson
from fastapi import Request, Response
from itsdangerous import BadSignature, Signer

from app.api.console import cookies
from app.api.deps import settings_of
from app.config import Settings

FLASH_COOKIE = "giftpulse-flash"
MAX_FLASH_LENGTH = 300
FLASH_SECONDS = 60


class Flash(NamedTuple):
    """A message that the next page shows once."""

    text: str
    tone: str = "ok"
    undo: str = ""
    """The address that undoes the change; empty if it cannot be undone."""


def set_flash(answer: Response, settings: Settings, flash: Flash) -> None:
    """Add the message to a response, shortened to what a cookie holds."""
    shown = flash._replace(text=flash.text[:MAX_FLASH_LENGTH])
    value = _flash_signer(settings).sign(orjson.dumps([*shown]).hex()).decode()
    cookies.keep(answer, settings, FLASH_COOKIE, value, FLASH_SECONDS)


def read_flash(request: Request) -> Flash | None:
    """Read the message of the previous page; None without a valid one."""
    cookie = request.cookies.get(FLASH_COOKIE)
    if cookie is None:
        return None
    try:
        return Flash(*orjson.loads(bytes.fromhex(_flash_signer(settings_of(request)).unsign(cookie).decode())))
    except (BadSignature, ValueError, TypeError):
        return None


def _flash_signer(settings: Settings) -> Signer:
    return Signer([*reversed(settings.secret_keys)], salt="giftpulse.flash", digest_method=hashlib.sha256)
