"""Changes a watched account and records that in the audit, for the API and the console."""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.security import Principal
from app.config import Settings
from app.models import Account
from app.services.ingest import account_admin, account_state
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject


class Operated(NamedTuple):
    """An account before and after a change."""

    before: JsonObject
    after: JsonObject


def show(session: Session, account: Account, settings: Settings) -> JsonObject:
    """Serialize an account as it is now."""
    return account_state.account_json(session, account, settings, utc_now())


def operate(
    session: Session,
    caller: Principal,
    sid: str,
    settings: Settings,
    action: str,
    change: Callable[[Account], None],
    *,
    check: Callable[[JsonObject], None] = lambda _: None,
) -> Operated:
    """Lock an account, change it, and write the entry of the audit.

    Args:    check: refuses the account as it is before.
    Raises: NotFound; what `check` and `change` raise.
    """
    account = account_admin.get(session, sid, lock=True)
    before = show(session, account, settings)
    check(before)
    change(account)
    after = show(session, account, settings)
    AuditedChange(session, caller, f"account:{sid}", before).record(action, after)
    return Operated(before, after)


def promote_token(session: Session, caller: Principal, sid: str, settings: Settings) -> Operated:
    """Make the next auth token of an account its auth token; raises as `account_admin.promote_next_token` does."""

    def promote(account: Account) -> None:
        account_admin.promote_next_token(session, settings, account, utc_now())

    return operate(session, caller, sid, settings, "account.promote_token", promote)


def delete(
    session: Session,
    caller: Principal,
    sid: str,
    settings: Settings,
    check: Callable[[JsonObject], None] = lambda _: None,
) -> JsonObject:
    """Stop watching an account; return it as it was. Raises as `account_admin.delete` does."""
    account = account_admin.get(session, sid, lock=True)
    before = show(session, account, settings)
    check(before)
    account_admin.delete(session, account)
    AuditedChange(session, caller, f"account:{sid}", before).record("account.delete", None)
    return before
