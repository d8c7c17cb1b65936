"""The secrets that may sign callbacks of an account: its auth tokens, or the customer's own keys."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Account
from app.utils.crypto import Undecryptable, decrypt, encrypt


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
    return [token for account in session.scalars(query) for token in _secrets_of(account, settings, key_id)]


def _secrets_of(account: Account, settings: Settings, key_id: str | None) -> Iterator[str]:
    if key_id is not None:
        keys = signing_keys(account, settings)
        yield from [keys[key_id]] if key_id in keys else []
        return
    if account.from_environment and account.sid == settings.twilio_account_sid and settings.twilio_auth_token:
        yield settings.twilio_auth_token.get_secret_value()
    for stored in (account.auth_token, account.next_auth_token):
        if stored:
            with suppress(Undecryptable):
                yield decrypt(settings.secret_keys, stored)


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
