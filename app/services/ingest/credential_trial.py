"""Tries credentials of an account before they are stored. Stores nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.config import Settings
from app.database import session_scope
from app.enums import LogType
from app.errors import FieldError, TwilioError, TwilioRefused
from app.services.ingest import account_admin, credentials
from app.services.ingest.credentials import Credentials
from app.services.ingest.reader import Runtime, open_reader

TIMEOUT_SECONDS = 5.0
"""A person waits for the answer."""
UNAUTHORIZED, NOT_FOUND = 401, 404
"""Twilio's statuses for credentials or an account that it does not know."""
READING_FIELDS = frozenset({"enabled", "api_key_sid", "api_key_secret", "api_base_url", "monitor_base_url"})
"""Fields that change how an account is read, even if its tokens stay as they are."""


@dataclass(frozen=True)
class Trial:
    """The result of trying credentials."""

    warnings: tuple[FieldError, ...] = ()
    """Why Twilio cannot be read with them; empty if it can, or if there are none to try."""
    is_refused: bool = False
    """Twilio knows no such account, or not with these credentials: trying again will not help."""
    is_accepted: bool = False
    """Some were tried, and Twilio can be read with all of them."""


def run(settings: Settings, values: Mapping[str, Any], now: datetime) -> Trial:
    """Read the calls of the last hour with the credentials of a new account, once with each.

    Args:    values: fields of the account by their API names, secrets in clear.
    """
    unknown = FieldError("sid", "is no account that Twilio knows (HTTP 404): check it, and the account's region")
    return _try_all(settings, values, values, unknown, now)


def run_edit(settings: Settings, sid: str, changes: Mapping[str, Any], now: datetime) -> Trial:
    """Try the credentials that an edit of a watched account changes, as `run` does.

    Raises: NotFound.
    """
    with session_scope() as session:
        stored = credentials.in_clear(account_admin.get(session, sid), settings)
    unknown = FieldError("api_base_url", "knows no such account (HTTP 404): check the account's region")
    return _try_all(settings, {**stored, **changes}, changes, unknown, now)


def _try_all(
    settings: Settings, account: Mapping[str, Any], changes: Mapping[str, Any], unknown: FieldError, now: datetime
) -> Trial:
    """Try what was changed, up to the first that fails.

    Args:    unknown: what to answer if Twilio does not know the account.
    """
    tried = False
    for field, candidate in _candidates(settings, account, changes):
        tried = True
        try:
            _read(settings, candidate, now)
        except TwilioError as error:
            return _failed(field, error, unknown)
    return Trial(is_accepted=tried)


def _candidates(
    settings: Settings, account: Mapping[str, Any], changes: Mapping[str, Any]
) -> Iterator[tuple[str, Credentials]]:
    """Yield the credentials to try, each with the field of its secret."""
    reads_with = "api_key_secret" if account.get("api_key_sid") else "auth_token"
    for field in ("api_key_secret", "auth_token", "next_auth_token"):
        is_changed = field in changes or (field == reads_with and READING_FIELDS & changes.keys())
        username = account.get("api_key_sid") if field == "api_key_secret" else account["sid"]
        password = account.get(field)
        if is_changed and username and password and account.get("enabled", True):
            yield (
                field,
                Credentials(
                    account_sid=account["sid"],
                    username=username,
                    password=password,
                    api_base_url=account.get("api_base_url") or settings.twilio_api_base_url,
                    monitor_base_url=account.get("monitor_base_url") or settings.twilio_monitor_base_url,
                    proxy=settings.twilio_proxy,
                ),
            )


def _read(settings: Settings, candidate: Credentials, now: datetime) -> None:
    with open_reader(candidate, lambda: None, Runtime(settings), tries=1, timeout_seconds=TIMEOUT_SECONDS) as reader:
        next(reader.list_pages(LogType.CALL, since=now - timedelta(hours=1)), None)


def _failed(field: str, error: TwilioError, unknown: FieldError) -> Trial:
    status = error.status_code if isinstance(error, TwilioRefused) else None
    if status == UNAUTHORIZED:
        words = "is refused by Twilio (HTTP 401): check that it is whole, and this account's"
        return Trial((FieldError(field, words),), is_refused=True)
    if status == NOT_FOUND:
        return Trial((unknown,), is_refused=True)
    return Trial((FieldError(field, f"was tried: {error}"),))
