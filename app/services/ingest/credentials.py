"""The credentials that an account is read with: its own, or its parent's."""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import NoCredentials
from app.models import Account
from app.utils.crypto import Undecryptable, decrypt
from app.utils.proxies import DIRECT, Proxy


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


def _own(account: Account, settings: Settings, *, prefer_token: bool = False) -> tuple[str, str, str | None] | None:
    """Return user, password and next password. Use `prefer_token` where an API key may lack permissions."""
    key: tuple[str, str, str | None] | None = None
    token: str | None = None
    try:
        if account.from_environment and account.sid == settings.twilio_account_sid:
            if settings.twilio_api_key_sid and settings.twilio_api_key_secret:
                key = settings.twilio_api_key_sid, settings.twilio_api_key_secret.get_secret_value(), None
            if settings.twilio_auth_token:
                token = settings.twilio_auth_token.get_secret_value()
        if account.api_key_sid and account.api_key_secret and key is None:
            key = account.api_key_sid, decrypt(settings.secret_keys, account.api_key_secret), None
        if account.auth_token and token is None:
            token = decrypt(settings.secret_keys, account.auth_token)
    except Undecryptable as error:
        raise NoCredentials(f"the credentials of account {account.sid} cannot be opened: {error}") from None
    by_token = (account.sid, token, _next_token(account, settings)) if token else None
    return (by_token or key) if prefer_token else (key or by_token)


def _next_token(account: Account, settings: Settings) -> str | None:
    """Return the secondary auth token if there is one that can be decrypted."""
    if account.next_auth_token is not None:
        with suppress(Undecryptable):
            return decrypt(settings.secret_keys, account.next_auth_token)
    return None
