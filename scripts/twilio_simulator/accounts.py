"""Accounts, their credentials, and who may read whose resources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest

from scripts.twilio_simulator.errors import not_active, not_authenticated, not_found

DEMO_ACCOUNT_SID = "ACde300000000000000000000000000001"
"""The account that the demo watches."""
DEMO_AUTH_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105 - of an account that exists only here
"""Its token: known to everybody, good for nothing but the simulator."""


class AccountStatus(StrEnum):
    """What an account may do."""

    ACTIVE = "active"
    """Everything."""
    SUSPENDED = "suspended"
    """Its own credentials are refused with 403; a parent still reads it."""
    CLOSED = "closed"
    """Its own credentials are refused with 401; for a parent it is gone."""


class KeyKind(StrEnum):
    """How far an API key reaches."""

    MAIN = "main"
    """As far as the auth token."""
    STANDARD = "standard"
    """Everything of its own account but the Accounts resource."""
    RESTRICTED = "restricted"
    """What its permissions name."""


@dataclass(frozen=True)
class ApiKey:
    """An API key of one account."""

    sid: str
    secret: str
    kind: KeyKind = KeyKind.STANDARD
    permissions: frozenset[str] = frozenset()
    """Of a restricted key: some of `calls`, `messages`, `alerts`."""


@dataclass
class Account:
    """A Twilio account, or a subaccount of one."""

    sid: str
    auth_token: str
    created_at: datetime
    friendly_name: str = "Simulated account"
    parent_sid: str | None = None
    status: AccountStatus = AccountStatus.ACTIVE
    type: str = "Full"
    refuse_credentials: bool = False
    """Whatever the password, the answer is 401."""
    keys: dict[str, ApiKey] = field(default_factory=dict)


@dataclass(frozen=True)
class Principal:
    """Who asks: the account whose credentials were shown, and the key if one was used."""

    account: Account
    key: ApiKey | None = None

    def require(self, resource: str) -> None:
        """Refuse what the key may not read: `accounts`, `calls`, `messages` or `alerts`."""
        if self.key is None or self.key.kind is KeyKind.MAIN:
            return
        if self.key.kind is KeyKind.STANDARD and resource != "accounts":
            return
        if resource not in self.key.permissions:
            raise not_authenticated()


def authenticate(accounts: Mapping[str, Account], credentials: tuple[str, str] | None) -> Principal:
    """Find who shows these credentials.

    Raises: ApiError: 401 where they are wrong or the account closed, 403 where it is suspended.
    """
    if credentials is None:
        raise not_authenticated()
    user, password = credentials
    principal = _find(accounts, user)
    if principal is None or not compare_digest(_secret(principal).encode(), password.encode()):
        raise not_authenticated()
    _require_open(accounts, principal.account)
    return principal


def _find(accounts: Mapping[str, Account], user: str) -> Principal | None:
    if user in accounts:
        return Principal(accounts[user])
    return next((Principal(account, account.keys[user]) for account in accounts.values() if user in account.keys), None)


def _secret(principal: Principal) -> str:
    return principal.key.secret if principal.key else principal.account.auth_token


def _require_open(accounts: Mapping[str, Account], account: Account) -> None:
    parent = accounts.get(account.parent_sid or "")
    if account.refuse_credentials or account.status is AccountStatus.CLOSED:
        raise not_authenticated()
    if account.status is AccountStatus.SUSPENDED or (parent and parent.status is AccountStatus.SUSPENDED):
        raise not_active()


def owned(accounts: Mapping[str, Account], principal: Principal, account_sid: str, path: str) -> Account:
    """Find the account of a path that the principal may read: its own, or a subaccount's by the parent.

    Raises: ApiError: 401 where the account is somebody else's, 404 where it is closed or none.
    """
    account = accounts.get(account_sid)
    if account is principal.account:
        return principal.account
    if account is None or account.status is AccountStatus.CLOSED:
        raise not_found(path)
    if account.parent_sid != principal.account.sid or (principal.key and principal.key.kind is not KeyKind.MAIN):
        raise not_authenticated()
    return account
