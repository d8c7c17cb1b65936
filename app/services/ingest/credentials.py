"""The credentials that an account is read with: its own, or its parent's."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import NoCredentials
from app.models import Account
from app.utils.crypto import Undecryptable, decrypt
from app.utils.proxies import DIRECT, Proxy

SECRET_FIELDS = ("auth_token", "next_auth_token", "api_key_secret")
URL_FIELDS = ("api_base_url", "monitor_base_url")


@dataclass(frozen=True)
class Credentials:
    """Credentials for Twilio's API. The repr shows no secret."""

    account_sid: str
    """The account whose logs are read."""
    username: str
    """The SID of an account or of an API key."""
    password: str
    api_base_url: str
    monitor_base_url: str
    proxy: Proxy = DIRECT
    next_password: str | None = None
    """The secondary auth token, tried if the primary one is refused."""

    def __repr__(self) -> str:
        return f"Credentials({self.account_sid}, {self.username})"


def load(session: Session, account_id: int, settings: Settings, *, prefer_token: bool = False) -> Credentials:
    """Choose an account's credentials: its API key, else its auth token, else its parent's credentials.

    Args:    prefer_token: try the auth token first; most API keys may not read accounts.
    Raises: NoCredentials if there are none that can be used.
    """
    account = session.get_one(Account, account_id)
    own = _own(account, settings, prefer_token=prefer_token)
    if own is None and account.parent_sid is not None:
        parent = session.scalar(select(Account).where(Account.sid == account.parent_sid))
        own = _own(parent, settings, prefer_token=True) if parent is not None else None
    if own is None:
        raise NoCredentials(f"no credentials are known for account {account.sid}: set them, or disable it")
    return Credentials(
        account_sid=account.sid,
        username=own[0],
        password=own[1],
        next_password=own[2],
        api_base_url=account.api_base_url or settings.twilio_api_base_url,
        monitor_base_url=account.monitor_base_url or settings.twilio_monitor_base_url,
        proxy=settings.twilio_proxy,
    )


def has_own_credentials(account: Account, settings: Settings) -> bool:
    """Return whether an account has its own credentials. The error log requires them."""
    from_environment = account.from_environment and account.sid == settings.twilio_account_sid
    return bool(from_environment or account.auth_token or (account.api_key_sid and account.api_key_secret))


def in_clear(account: Account, settings: Settings) -> dict[str, Any]:
    """Return the fields that decide how an account is read, by their API names, with its secrets in clear.

    A secret that cannot be decrypted is missing.
    """
    secrets = {name: _decrypted(account, name, settings) for name in SECRET_FIELDS}
    found = secrets | {name: getattr(account, name) for name in ("sid", "enabled", "api_key_sid", *URL_FIELDS)}
    return found | _of_environment(account, settings)


def _of_environment(account: Account, settings: Settings) -> dict[str, str]:
    """Return the credentials that the environment has for an account, by their API names."""
    if not account.from_environment or account.sid != settings.twilio_account_sid:
        return {}
    token, key_secret = settings.twilio_auth_token, settings.twilio_api_key_secret
    given = {
        "auth_token": token and token.get_secret_value(),
        "api_key_sid": settings.twilio_api_key_sid,
        "api_key_secret": key_secret and key_secret.get_secret_value(),
    }
    return {name: value for name, value in given.items() if value}


def _own(account: Account, settings: Settings, *, prefer_token: bool = False) -> tuple[str, str, str | None] | None:
    """Return user, password and next password. Use `prefer_token` where an API key may lack permissions."""
    given = _of_environment(account, settings)
    token = given.get("auth_token")
    key: tuple[str, str, str | None] | None = None
    if "api_key_sid" in given and "api_key_secret" in given:
        key = given["api_key_sid"], given["api_key_secret"], None
    try:
        if account.api_key_sid and account.api_key_secret and key is None:
            key = account.api_key_sid, decrypt(settings.secret_keys, account.api_key_secret), None
        if account.auth_token and token is None:
            token = decrypt(settings.secret_keys, account.auth_token)
    except Undecryptable as error:
        raise NoCredentials(f"the credentials of account {account.sid} cannot be decrypted: {error}") from None
    by_token = (account.sid, token, _decrypted(account, "next_auth_token", settings)) if token else None
    return (by_token or key) if prefer_token else (key or by_token)


def _decrypted(account: Account, name: str, settings: Settings) -> str | None:
    """Return a secret of an account if there is one that can be decrypted."""
    encrypted = getattr(account, name)
    if encrypted is not None:
        with suppress(Undecryptable):
            return decrypt(settings.secret_keys, encrypted)
    return None
