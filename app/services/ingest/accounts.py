"""The environment's account, and what follows when an account gets new credentials."""

import hashlib
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

log = structlog.get_logger()


def ensure_environment_account(session: Session, settings: Settings, now: datetime) -> None:
    """Watch the environment's account, and stop watching one that it named earlier.

    Logs from before now do not alert.
    """
    sid = settings.twilio_account_sid
    former = update(Account).where(Account.from_environment, Account.sid.is_distinct_from(sid))
    session.execute(former.values(from_environment=False, enabled=False))
    if sid is None:
        return
    fingerprint = _fingerprint(settings)
    query = select(Account).where(Account.sid == sid, Account.from_environment)
    known = session.scalar(query)
    if known is None:
        _adopt(session, sid, settings, fingerprint, now)
        return
    known.include_subaccounts = settings.twilio_include_subaccounts
    if known.credentials_hash != fingerprint:
        known.credentials_hash = fingerprint
        session.flush()
        try_credentials(session, sid, now)
        log.info("credentials are new: they are tried now", account_sid=sid)


def _adopt(session: Session, sid: str, settings: Settings, fingerprint: str, now: datetime) -> None:
    """Watch the environment's account, which may be known already."""
    adopted = {
        "from_environment": True,
        "enabled": True,
        "include_subaccounts": settings.twilio_include_subaccounts,
        "credentials_hash": fingerprint,
    }
    statement = insert(Account).values(sid=sid, started_at=now, **adopted)
    account = session.scalar(statement.on_conflict_do_update(index_elements=["sid"], set_=adopted).returning(Account))
    if account is not None:
        streams.create_for(session, account, now)
        try_credentials(session, sid, now)


def ensure_for_command(session: Session, settings: Settings, now: datetime) -> None:
    """Watch the environment's account as the command line, whose environment may lack that of the other processes.

    Raises: NoCredentials if it does.
    """
    watched = session.scalar(select(Account.sid).where(Account.from_environment))
    if watched is not None and settings.twilio_account_sid is None:
        detail = "the credentials are in the environment of the processes that read it: give this command the same"
        raise NoCredentials(f"account {watched}: {detail} settings")
    ensure_environment_account(session, settings, now)


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
    streams.reset_and_make_due(session, ids, now)
