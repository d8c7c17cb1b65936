"""Accounts, their credentials, and whose resources they may read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest

from scripts.twilio_simulator.errors import not_active, not_authenticated, not_found

DEMO_ACCOUNT_SID = "ACde300000000000000000000000000001"
"""The account of the demo."""
DEMO_AUTH_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105 - of an account that exists only here
"""Its token: public, and useless outside the simulator."""


class AccountStatus(StrEnum):
    """What an account may do."""

    ACTIVE = "active"
    """Everything."""
    SUSPENDED = "suspended"
    """Its own credentials are refused with 403; its parent can still read it."""
    CLOSED = "closed"
    """Its own credentials are refused with 401; its parent no longer sees it."""


class KeyKind(StrEnum):
    """The permissions of an API key."""

    MAIN = "main"
    """The same as the auth token."""
    STANDARD = "standard"
    """Everything in its own account except the Accounts resource."""
    RESTRICTED = "restricted"
    """Only the listed permissions."""


@dataclass(frozen=True)
class ApiKey:
    """An API key of one account."""

    sid: str
    secret: str
    kind: KeyKind = KeyKind.STANDARD
    permissions: frozenset[str] = frozenset()
    """For a restricted key: some of `calls`, `messages`, `alerts`."""


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
    """The response is 401 for any password."""
    keys: dict[str, ApiKey] = field(default_factory=dict)


@dataclass(frozen=True)
class Principal:
    """The caller: the account of the credentials, and the API key if one was used."""

    account: Account
    key: ApiKey | None = None

    def require(self, resource: str) -> None:
        """Reject what the key may not read: `accounts`, `calls`, `messages` or `alerts`."""
        if self.key is None or self.key.kind is KeyKind.MAIN:
            return
        if self.key.kind is KeyKind.STANDARD and resource != "accounts":
            return
        if resource not in self.key.permissions:
            raise not_authenticated()


def authenticate(accounts: Mapping[str, Account], credentials: tuple[str, str] | None) -> Principal:
    """Find the owner of these credentials.

    Raises: ApiError: 401 if they are wrong or the account is closed, 403 if it is suspended.
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
    """Find the account in a path if the caller may read it: its own, or a subaccount of it.

    Raises: ApiError: 401 if the account belongs to someone else, 404 if it is closed or unknown.
    """
    account = accounts.get(account_sid)
    if account is principal.account:
        return principal.account
    if account is None or account.status is AccountStatus.CLOSED:
        raise not_found(path)
    if account.parent_sid != principal.account.sid or (principal.key and principal.key.kind is not KeyKind.MAIN):
        raise not_authenticated()
    return account
