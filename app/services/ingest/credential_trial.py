"""Tries the credentials of an account before it is watched. Stores nothing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from app.config import Settings
from app.enums import LogType
from app.errors import FieldError, TwilioError, TwilioRefused
from app.services.ingest.credentials import Credentials
from app.services.ingest.reader import Runtime, open_reader

TIMEOUT_SECONDS = 5.0
"""A person waits for the answer."""
UNAUTHORIZED, NOT_FOUND = 401, 404
"""Twilio's statuses for credentials or an account that it does not know."""


class Trial:
    """The result of one try."""

    def __init__(self, field: str, error: TwilioError | None) -> None:
        self._field, self._error = field, error

    @property
    def warnings(self) -> list[FieldError]:
        """Why Twilio cannot be read with the credentials; empty if it can, or if there are none to try."""
        if self._error is None:
            return []
        status = self._error.status_code if isinstance(self._error, TwilioRefused) else None
        if status == UNAUTHORIZED:
            return [
                FieldError(self._field, "is refused by Twilio (HTTP 401): check that it is whole, and this account's")
            ]
        if status == NOT_FOUND:
            return [FieldError("sid", "is no account that Twilio knows (HTTP 404): check it, and the account's region")]
        return [FieldError(self._field, f"was tried: {self._error}")]

    @property
    def is_refused(self) -> bool:
        """Twilio knows no such account, or not with these credentials: trying again will not help."""
        return isinstance(self._error, TwilioRefused) and self._error.status_code in (UNAUTHORIZED, NOT_FOUND)


def run(settings: Settings, values: Mapping[str, Any], now: datetime) -> Trial:
    """Read the calls of the last hour with the credentials of a new account, once.

    Args:    values: fields of the account by their API names, secrets in clear.
    """
    by_key = bool(values.get("api_key_sid"))
    field = "api_key_secret" if by_key else "auth_token"
    username, password = values.get("api_key_sid") if by_key else values["sid"], values.get(field)
    if not username or not password or not values.get("enabled", True):
        return Trial(field, None)
    credentials = Credentials(
        account_sid=values["sid"],
        username=username,
        password=password,
        api_base_url=values.get("api_base_url") or settings.twilio_api_base_url,
        monitor_base_url=values.get("monitor_base_url") or settings.twilio_monitor_base_url,
        proxy=settings.twilio_proxy,
    )
    try:
        runtime = Runtime(settings)
        with open_reader(credentials, lambda: None, runtime, tries=1, timeout_seconds=TIMEOUT_SECONDS) as reader:
            next(reader.list_pages(LogType.CALL, since=now - timedelta(hours=1)), None)
    except TwilioError as error:
        return Trial(field, error)
    return Trial(field, None)
