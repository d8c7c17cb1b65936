"""Watched accounts: the one of the environment, and the credentials of each."""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import TwilioRefused
from app.models import Account
from app.services.ingest import streams
from app.services.twilio.client import TwilioReader
from app.utils.clock import utc_now
from app.utils.crypto import Undecryptable, decrypt


@dataclass(frozen=True)
class Credentials:
    """What Twilio is asked with. The repr shows no secret."""

    account_sid: str
    username: str
    """The account's sid, or the sid of an API key."""
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username})"


def ensure_environment_account(session: Session, settings: Settings, now: datetime) -> None:
    """Watch the account that the environment names; what happened before now does not alert."""
    sid = settings.twilio_account_sid
    if sid is None or session.scalar(select(Account.id).where(Account.sid == sid, Account.from_environment)):
        return
    values = {
        "sid": sid,
        "from_environment": True,
        "started_at": now,
        "include_subaccounts": settings.twilio_include_subaccounts,
    }
    added = session.scalar(insert(Account).values(values).on_conflict_do_nothing().returning(Account))
    if added is not None:
        streams.create_for(session, added, now)


def open_reader(
    account: Account,
    settings: Settings,
    before_request: Callable[[], None],
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> TwilioReader:
    """Open a reader of an account's logs.

    Args:    before_request: called before every request; it may wait, and may raise.
    Raises:  TwilioRefused where no credentials are known.
    """
    known = credentials(account, settings)
    return TwilioReader(
        account_sid=known.account_sid,
        username=known.username,
        password=known.password,
        api_base_url=account.api_base_url or settings.twilio_api_base_url,
        monitor_base_url=account.monitor_base_url or settings.twilio_monitor_base_url,
        before_request=before_request,
        clock=clock,
        sleep=sleep,
    )


def credentials(account: Account, settings: Settings) -> Credentials:
    """Return what the account is read with: its API key where it has one, else its auth token.

    Raises: TwilioRefused where there is neither.
    """
    if account.from_environment:
        key, secret, token = settings.twilio_api_key_sid, settings.twilio_api_key_secret, settings.twilio_auth_token
        if account.sid == settings.twilio_account_sid and key and secret:
            return Credentials(account.sid, key, secret.get_secret_value())
        if account.sid == settings.twilio_account_sid and token:
            return Credentials(account.sid, account.sid, token.get_secret_value())
    elif account.api_key_sid and account.api_key_secret:
        return Credentials(account.sid, account.api_key_sid, decrypt(settings.secret_keys, account.api_key_secret))
    elif account.auth_token:
        return Credentials(account.sid, account.sid, decrypt(settings.secret_keys, account.auth_token))
    raise TwilioRefused(f"no credentials are known for account {account.sid}: set them, or disable the account", 401)


def signing_tokens(session: Session, settings: Settings, account_sids: Collection[str] | None) -> list[str]:
    """List the auth tokens that callbacks of these accounts may be signed with; of all watched accounts for None."""
    query = select(Account).where(Account.enabled)
    if account_sids is not None:
        query = query.where(Account.sid.in_([sid for sid in account_sids if sid]))
    tokens = []
    for account in session.scalars(query):
        if account.from_environment and account.sid == settings.twilio_account_sid and settings.twilio_auth_token:
            tokens.append(settings.twilio_auth_token.get_secret_value())
        for stored in (account.auth_token, account.next_auth_token):
            if stored:
                with suppress(Undecryptable):
                    tokens.append(decrypt(settings.secret_keys, stored))
    return tokens
