"""Checks the status of watched accounts, finds their subaccounts, and watches them."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import session_scope
from app.enums import LogType
from app.errors import TwilioError
from app.models import Account, Stream
from app.services.ingest import streams
from app.services.ingest.credentials import has_own_credentials
from app.services.ingest.reader import Runtime, open_with_budget
from app.services.twilio.responses import AccountRecord
from app.utils.clock import Clock, utc_now

CHECK_INTERVAL = timedelta(minutes=15)
NEEDS_OWN_KEY = (
    "the error log needs this subaccount's own key: Twilio does not show it to the parent; set auth_token, or"
    " api_key_sid and api_key_secret, by PATCH /api/accounts/{sid}"
)
CLOSED = "closed"
"""Twilio's status of a closed account."""
IS_CLOSED = "Twilio has closed this account: its stored logs are kept; no new ones will come"

log = structlog.get_logger()


def refresh_due(settings: Settings, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> int:
    """Check every account that is due; return how many. Two workers never check one concurrently."""
    now = clock()
    due = or_(Account.checked_at.is_(None), Account.checked_at < now - CHECK_INTERVAL)
    claim = update(Account).where(Account.enabled, Account.parent_sid.is_(None), due).values(checked_at=now)
    with session_scope() as session:
        claimed = list(session.scalars(claim.returning(Account.id)))
    for account_id in claimed:
        _refresh(account_id, Runtime(settings, clock, sleep))
    return len(claimed)


def _refresh(account_id: int, runtime: Runtime) -> None:
    """Check one account and, if enabled, its subaccounts. Most API keys lack that permission; the account shows it."""
    error, clock = None, runtime.clock
    with session_scope() as session:
        account = session.get_one(Account, account_id)
        sid, with_subaccounts, tried_at = account.sid, account.include_subaccounts, account.credentials_at
    try:
        with open_with_budget(account_id, runtime, prefer_token=True) as reader:
            own = reader.account()
            records = list(reader.accounts()) if with_subaccounts else []
        with session_scope() as session:
            _update_account(session, sid, own)
            if with_subaccounts:
                _watch_subaccounts(session, sid, records, runtime.settings, clock())
        if tried_at is not None and tried_at > clock() - CHECK_INTERVAL:
            log.info("Twilio accepts the new credentials", account_sid=sid)
    except TwilioError as refused:
        error = f"status and subaccounts could not be read: {refused}"
        log.info("an account's own record could not be read", reason=refused.reason)
    with session_scope() as session:
        # An answer to earlier credentials says nothing of those that have come since.
        same = Account.credentials_at.is_not_distinct_from(tried_at)
        session.execute(update(Account).where(Account.id == account_id, same).values(last_error=error))


def _update_account(session: Session, sid: str, record: AccountRecord | None) -> None:
    """Store Twilio's data about an account. A name that the user set is kept."""
    if record is not None and record.sid == sid:
        account = session.scalars(select(Account).where(Account.sid == sid)).one()
        account.status = record.status
        account.friendly_name = account.friendly_name or record.friendly_name


def _watch_subaccounts(
    session: Session, parent_sid: str, records: list[AccountRecord], settings: Settings, now: datetime
) -> None:
    """Watch active subaccounts; update the status of known ones."""
    listed = {record.sid: record for record in records if record.sid != parent_sid}
    for record in listed.values():
        if record.status == "active":
            _add_subaccount(session, parent_sid, record, now)
    subaccounts = session.scalars(select(Account).where(Account.parent_sid == parent_sid)).all()
    for account in subaccounts:
        found = listed.get(account.sid)
        # Closed accounts vanish from the list after thirty days.
        account.status = found.status if found is not None else CLOSED
        account.checked_at = now
    mark_unavailable(session, subaccounts, settings)


def _add_subaccount(session: Session, parent_sid: str, record: AccountRecord, now: datetime) -> None:
    values = {
        "sid": record.sid,
        "parent_sid": parent_sid,
        "friendly_name": record.friendly_name,
        "started_at": now,
        "enabled": True,
    }
    statement = insert(Account).values(values).on_conflict_do_nothing(index_elements=["sid"])
    account = session.scalar(statement.returning(Account))
    if account is not None:
        streams.create_for(session, account, now)


def mark_unavailable(session: Session, accounts: Sequence[Account], settings: Settings) -> None:
    """Mark the streams of accounts that can never be read, so that nothing waits for them. Only changes are written."""
    by_id = {account.id: account for account in accounts}
    query = select(Stream).where(Stream.account_id.in_(by_id)).order_by(Stream.id)
    for stream in session.scalars(query, execution_options={"populate_existing": True}):
        reason = _why_unavailable(by_id[stream.account_id], stream.log_type, settings)
        stream.unavailable, stream.unavailable_reason = reason is not None, reason
    session.flush()


def _why_unavailable(account: Account, log_type: str, settings: Settings) -> str | None:
    """Asked for a subaccount's error log with the parent's key, Twilio would return the parent's log."""
    if account.status == CLOSED:
        return IS_CLOSED
    foreign = account.parent_sid is not None and not has_own_credentials(account, settings)
    return NEEDS_OWN_KEY.format(sid=account.sid) if foreign and log_type == LogType.ERROR else None
