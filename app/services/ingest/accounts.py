"""Watched accounts: the environment's account, credentials, and tokens that may sign callbacks."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import NoCredentials
from app.models import Account
from app.services.ingest import streams
from app.services.twilio.client import MAX_TRIES, TwilioReader
from app.services.twilio.transport import READ_SECONDS
from app.utils.clock import utc_now
from app.utils.crypto import Undecryptable, decrypt, encrypt
from app.utils.proxies import DIRECT, Proxy

log = structlog.get_logger()


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


def ensure_environment_account(session: Session, settings: Settings, now: datetime) -> None:
    """Watch the environment's account, and stop watching one that it named earlier.

    Logs from before now do not alert.
    """
    sid = settings.twilio_account_sid
    former = update(Account).where(Account.from_environment, Account.sid.is_distinct_from(sid))
    session.execute(former.values(from_environment=False, enabled=False))
    if sid is None:
        return
    wanted = settings.twilio_include_subaccounts
    fingerprint = _fingerprint(settings)
    known = session.execute(
        select(Account.id, Account.include_subaccounts, Account.credentials_hash).where(
            Account.sid == sid, Account.from_environment
        )
    ).first()
    if known is not None:
        if known.include_subaccounts != wanted:
            session.execute(update(Account).where(Account.id == known.id).values(include_subaccounts=wanted))
        if known.credentials_hash != fingerprint:
            session.execute(update(Account).where(Account.id == known.id).values(credentials_hash=fingerprint))
            try_credentials(session, sid, now)
            log.info("credentials are new: they are tried now", account_sid=sid)
        return
    adopted = {
        "from_environment": True,
        "enabled": True,
        "include_subaccounts": wanted,
        "credentials_hash": fingerprint,
    }
    statement = insert(Account).values(sid=sid, started_at=now, **adopted)
    account = session.scalar(statement.on_conflict_do_update(index_elements=["sid"], set_=adopted).returning(Account))
    if account is not None:
        streams.create_for(session, account, now)
        try_credentials(session, sid, now)


def _fingerprint(settings: Settings) -> str:
    """Hash the environment's credentials. They are as random as keys, so the hash does not reveal them."""
    secrets = (settings.twilio_auth_token, settings.twilio_api_key_secret)
    parts = [settings.twilio_account_sid, settings.twilio_api_key_sid]
    parts += [secret.get_secret_value() if secret else None for secret in secrets]
    parts += [settings.twilio_api_base_url, settings.twilio_monitor_base_url]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def try_credentials(session: Session, sid: str, now: datetime) -> None:
    """Poll an account with new credentials now, and the subaccounts that are read with them.

    Retry delays and errors of the old credentials are cleared. An alert that Twilio cannot be read stays open until a
    poll succeeds.
    """
    concerned = or_(Account.sid == sid, Account.parent_sid == sid)
    ids = session.scalars(select(Account.id).where(concerned)).all()
    session.execute(update(Account).where(Account.id.in_(ids)).values(credentials_at=now, checked_at=None))
    streams.poll_at_once(session, ids, now)


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


def open_reader(
    credentials: Credentials,
    before_request: Callable[[], None],
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    tries: int = MAX_TRIES,
    timeout_seconds: float = READ_SECONDS,
) -> TwilioReader:
    """Create a reader of an account's logs.

    Args:    before_request: called before every request; it may wait or raise.
    """
    return TwilioReader(
        account_sid=credentials.account_sid,
        username=credentials.username,
        password=credentials.password,
        next_password=credentials.next_password,
        api_base_url=credentials.api_base_url,
        monitor_base_url=credentials.monitor_base_url,
        before_request=before_request,
        clock=clock,
        sleep=sleep,
        tries=tries,
        timeout_seconds=timeout_seconds,
        proxy=credentials.proxy,
    )


def signing_tokens(
    session: Session,
    settings: Settings,
    account_sid: str | None,
    *,
    key_id: str | None = None,
    with_parent: bool = False,
) -> list[str]:
    """List the auth tokens that may sign callbacks of an account; of all watched accounts for None.

    Args:
        key_id: the id of one of the customer's own keys; that key replaces the tokens.
        with_parent: include the parent's tokens.
    """
    query = select(Account).where(Account.enabled)
    if account_sid is not None:
        if "\0" in account_sid:  # PostgreSQL takes no such text, and no account has it.
            return []
        # Do not trust the parent that a callback names: use the one from Twilio's list of subaccounts.
        parent = select(Account.parent_sid).where(Account.sid == account_sid, Account.parent_sid.is_not(None))
        own = Account.sid == account_sid
        query = query.where(or_(own, Account.sid.in_(parent)) if with_parent else own)
    tokens = []
    for account in session.scalars(query):
        if key_id is not None:
            keys = signing_keys(account, settings)
            tokens += [keys[key_id]] if key_id in keys else []
            continue
        if account.from_environment and account.sid == settings.twilio_account_sid and settings.twilio_auth_token:
            tokens.append(settings.twilio_auth_token.get_secret_value())
        for stored in (account.auth_token, account.next_auth_token):
            if stored:
                with suppress(Undecryptable):
                    tokens.append(decrypt(settings.secret_keys, stored))
    return tokens


def signing_keys(account: Account, settings: Settings) -> dict[str, str]:
    """Return the customer's own signing keys for an account's callbacks, by id."""
    if account.signing_keys is None:
        return {}
    with suppress(Undecryptable):
        return msgspec.json.decode(decrypt(settings.secret_keys, account.signing_keys), type=dict[str, str])
    return {}


def set_signing_keys(account: Account, settings: Settings, keys: dict[str, str]) -> None:
    """Replace the customer's own signing keys."""
    account.signing_keys = encrypt(settings.secret_keys, msgspec.json.encode(keys).decode()) if keys else None
