"""Account administration: adds, edits and removes watched accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import wake
from app.config import Settings
from app.database import after_commit
from app.errors import Conflict, FieldError, InvalidInput, NotFound
from app.models import Account, Stream
from app.services.ingest import accounts, streams, subaccounts
from app.services.ingest.credentials import SECRET_FIELDS, URL_FIELDS, has_own_credentials
from app.services.ingest.signing import set_signing_keys
from app.services.paging import Page, Position, read_page
from app.utils.crypto import encrypt

CREDENTIAL_FIELDS = (*SECRET_FIELDS, "api_key_sid", *URL_FIELDS)
PLAIN_FIELDS = ("friendly_name", "enabled", "include_subaccounts", "api_key_sid", *URL_FIELDS)
SORT_KEY = (Account.started_at, Account.id)


def get(session: Session, sid: str, *, lock: bool = False) -> Account:
    """Return a watched account.

    Raises: NotFound.
    """
    query = select(Account).where(Account.sid == sid)
    if lock:
        # Polls lock the stream before the account. Locking in another order could deadlock.
        ids = query.with_only_columns(Account.id)
        # Storing logs takes key-share locks on the account. A plain FOR UPDATE could wait for them forever.
        locked = select(Stream.id).where(Stream.account_id.in_(ids)).order_by(Stream.id)
        session.execute(locked.with_for_update(key_share=True))
        query = query.with_for_update(key_share=True)
    account = session.scalar(query)
    if account is None:
        raise NotFound(f"account {sid} is not watched")
    return account


def enabled_ids(session: Session, sid: str | None = None) -> Sequence[int]:
    """List the ids of the enabled accounts, or only of the one with this SID."""
    query = select(Account.id).where(Account.enabled)
    return session.scalars(query if sid is None else query.where(Account.sid == sid)).all()


def list_accounts(session: Session, position: Position | None, limit: int) -> Page[Account]:
    """List the watched accounts, newest first."""
    return read_page(session, select(Account), SORT_KEY, position, limit)


def create(session: Session, settings: Settings, values: Mapping[str, Any], now: datetime) -> Account:
    """Start watching an account. Earlier logs never alert.

    Args:    values: fields by their API names, secrets in clear.
    Raises:  Conflict if it is watched already; InvalidInput if the credentials are incomplete.
    """
    if session.scalar(select(Account.id).where(Account.sid == values["sid"])):
        raise Conflict(f"account {values['sid']} is watched already: edit it instead")
    account = Account(sid=values["sid"], parent_sid=values.get("parent_sid"), started_at=now, from_environment=False)
    account.credentials_at = now
    _assign(account, settings, values)
    _check(account, settings)
    session.add(account)
    session.flush()
    streams.create_for(session, account, now)
    subaccounts.mark_unavailable(session, [account], settings)
    after_commit(session, wake.poll)
    return account


def edit(session: Session, settings: Settings, account: Account, values: Mapping[str, Any], now: datetime) -> None:
    """Update some fields of an account. New credentials are tried immediately.

    Raises: Conflict if the field comes from the environment; InvalidInput if the credentials are incomplete.
    """
    kept_there = {*CREDENTIAL_FIELDS, "include_subaccounts"} - {"next_auth_token", "api_base_url", "monitor_base_url"}
    if account.from_environment and (named := sorted(kept_there & values.keys())):
        raise Conflict(f"the environment sets this account's {', '.join(named)}: change it there")
    _assign(account, settings, values)
    _check(account, settings)
    account.checked_at = None
    session.flush()
    subaccounts.mark_unavailable(session, [account], settings)
    if {*CREDENTIAL_FIELDS, "enabled"} & values.keys():
        accounts.try_credentials(session, account.sid, now)
        after_commit(session, wake.poll)


def promote_next_token(session: Session, settings: Settings, account: Account, now: datetime) -> None:
    """Make the next auth token the auth token, as it was promoted at Twilio. It is tried immediately.

    Raises: Conflict if there is none, or the environment sets the auth token.
    """
    if account.from_environment:
        raise Conflict("the environment sets this account's auth_token: change TWILIO_AUTH_TOKEN there")
    if account.next_auth_token is None:
        raise Conflict(f"account {account.sid} has no next auth token: enter it first")
    account.auth_token, account.next_auth_token = account.next_auth_token, None
    session.flush()
    subaccounts.mark_unavailable(session, [account], settings)
    accounts.try_credentials(session, account.sid, now)
    after_commit(session, wake.poll)


def delete(session: Session, account: Account) -> None:
    """Stop watching an account. Its stored data expires with the retention.

    Raises: Conflict for the environment's account, and for a subaccount that would be found again.
    """
    if account.from_environment:
        raise Conflict("this account is set in the environment: remove TWILIO_ACCOUNT_SID, or disable the account")
    parent = session.scalar(select(Account).where(Account.sid == account.parent_sid, Account.enabled))
    if parent is not None and parent.include_subaccounts and account.status != subaccounts.CLOSED:
        raise Conflict(f"{account.sid} would be found again as a subaccount of {parent.sid}: disable it instead")
    session.delete(account)
    session.flush()


def poll_now(session: Session, account: Account, now: datetime) -> None:
    """Make all streams of an account due now.

    Raises: Conflict if the account is disabled.
    """
    if not account.enabled:
        raise Conflict(f"account {account.sid} is disabled: enable it first")
    streams.make_due(session, now, account_id=account.id)
    after_commit(session, wake.poll)


def _assign(account: Account, settings: Settings, values: Mapping[str, Any]) -> None:
    for name in PLAIN_FIELDS:
        if name in values:
            setattr(account, name, values[name])
    for name in SECRET_FIELDS:
        if name in values:
            clear = values[name]
            setattr(account, name, None if clear is None else encrypt(settings.secret_keys, clear))
    if "signing_keys" in values:
        set_signing_keys(account, settings, values["signing_keys"] or {})


def _check(account: Account, settings: Settings) -> None:
    if bool(account.api_key_sid) != bool(account.api_key_secret):
        missing = "api_key_secret" if account.api_key_sid else "api_key_sid"
        raise InvalidInput([FieldError(missing, "must be given: a key is its sid and its secret together")])
    if not has_own_credentials(account, settings) and account.parent_sid is None:
        raise InvalidInput([FieldError("auth_token", "must be given, or api_key_sid and api_key_secret")])
