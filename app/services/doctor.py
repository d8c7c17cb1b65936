"""Checks everything GiftPulse depends on, and says how to fix what fails."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import aiosmtplib
import httpx
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import __version__, wake
from app.actions import smtp
from app.config import Settings, remarks
from app.database import session_scope
from app.enums import LogType
from app.errors import GiftPulseError, SignInUnavailable, TwilioError, TwilioRefused
from app.models import Account, CoverageGap, Stream
from app.services import health, privileges, secrets, setup
from app.services.ingest import accounts
from app.services.ingest.credentials import load
from app.services.ingest.reader import Runtime, open_reader
from app.services.ingest.signing import signing_tokens
from app.services.openid.provider import Provider
from app.services.twilio.client import TwilioReader
from app.services.twilio.read_advice import advise
from app.utils.addresses import LOOPBACK_HOSTS
from app.utils.clock import Clock, rfc3339
from app.utils.database_errors import OTHER_SCHEMA, explain
from app.utils.tls import UNTRUSTED, is_untrusted, tls_context

Result = Literal["ok", "note", "wrong"]

MIGRATIONS = Path(__file__).parent.parent.parent / "alembic"
MIN_POSTGRESQL_VERSION = 150000
"""In the form of `server_version_num`."""
MAX_SKEW = timedelta(seconds=60)
"""Callbacks are signed and windows are evaluated by the clock."""
TIMEOUT_SECONDS = 10
NOT_TRUSTED = f"{UNTRUSTED}: let SSL_CERT_FILE name a file that holds the authority's certificate"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    result: Result
    """`note`: it works, but there is something to know; `wrong`: something does not work until it is fixed."""
    subject: str
    detail: str
    next_step: str = ""
    """What to do; empty where `detail` says it, or where nothing is to be done."""


def examine(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Run all checks, one after another. Checks that need the database are skipped if it does not answer."""
    yield from (Finding("note", "settings", remark) for remark in remarks())
    database = _database()
    yield database
    yield _broker()
    if database.result != "wrong":
        yield _durability()
        yield _workers(settings, clock())
        yield _secrets(settings)
        yield from _accounts(settings, clock)
        yield from _first_steps()
    yield _mail(settings)
    yield _public_address(settings)
    if settings.oidc_issuer is not None:
        yield _sign_in_provider(settings)


def check(settings: Settings) -> Finding:
    """Check that schema, settings and secrets fit this version. Return the first problem.

    Raises: ConfigError if a setting that every process needs is missing.
    """
    settings.broker_url, settings.bootstrap_key  # noqa: B018  # raises if it is missing
    for finding in (_database(), _secrets(settings)):
        if finding.result == "wrong":
            return finding
    return Finding("ok", "check", f"schema, settings and secrets fit GiftPulse {__version__}")


def _first_steps() -> Iterator[Finding]:
    with session_scope() as session:
        left = setup.missing(session)
    yield from (Finding("note", "first steps", f"{line}; {setup.COMMAND} creates it") for line in left)


def _database() -> Finding:
    try:
        with session_scope() as session:
            version = int(session.scalar(text("SELECT current_setting('server_version_num')")) or 0)
            revision = session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        reason = explain(error)
        if reason == OTHER_SCHEMA:
            return Finding("wrong", "database", "it has no schema yet: run alembic upgrade head")
        return Finding("wrong", "database", reason.replace("the database ", "it ", 1))
    if version < MIN_POSTGRESQL_VERSION:
        return Finding("wrong", "database", f"PostgreSQL {version // 10000} is too old: use 15 or newer")
    # Imported late: the API needs Alembic only for this check.
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if revision != head:
        return Finding(
            "wrong", "database", f"its schema is {revision}, this version needs {head}: alembic upgrade head"
        )
    with session_scope() as session:
        if (missing := privileges.missing(session)) is not None:
            return Finding("wrong", "database", missing.said)
    return Finding("ok", "database", f"PostgreSQL {version // 10000}, schema {revision}")


def _durability() -> Finding:
    with session_scope() as session:
        if session.scalar(text("SELECT current_setting('fsync')")) == "on":
            return Finding("ok", "durability", "what is committed survives a crash of the database's machine")
    return Finding("wrong", "durability", "fsync is off: a crash of the database's machine loses what was committed")


def _broker() -> Finding:
    fault = wake.broker_fault()
    if fault is None:
        return Finding("ok", "broker", "it answers")
    if is_untrusted(fault):
        return Finding("wrong", "broker", f"it cannot be used: {NOT_TRUSTED}")
    return Finding("wrong", "broker", wake.explain(fault).replace("the broker ", "it ", 1))


def _workers(settings: Settings, now: datetime) -> Finding:
    check = health.examine(settings, now).checks["workers"]
    return Finding("ok" if check.status == "ok" else "wrong", "worker and beat", check.detail)


def _secrets(settings: Settings) -> Finding:
    try:
        with session_scope() as session:
            closed = secrets.count_unreadable(session, settings.secret_keys)
    except GiftPulseError as error:
        return Finding("wrong", "SECRET_KEY", str(error))
    if closed:
        return Finding(
            "wrong",
            "SECRET_KEY",
            f"{closed} stored secrets cannot be decrypted: list the key they were stored under as well",
        )
    return Finding("ok", "SECRET_KEY", "it decrypts every stored secret")


def _accounts(settings: Settings, clock: Clock) -> Iterator[Finding]:
    with session_scope() as session:
        if session.scalar(select(Account.id).where(Account.from_environment)) is None:
            # If it exists, the workers update it: this process may have another environment than they have.
            accounts.ensure_environment_account(session, settings, clock())
        query = select(Account.id, Account.sid, Account.from_environment).where(Account.enabled).order_by(Account.id)
        watched = session.execute(query).all()
    if not watched:
        yield Finding("note", "accounts", "none is watched: set TWILIO_ACCOUNT_SID, or add one through the API")
    for account_id, sid, from_environment in watched:
        if from_environment and sid != settings.twilio_account_sid:
            detail = "its credentials are in the environment of the processes that read it, not in this one: not tried"
            yield Finding("note", f"account {sid}", detail)
        else:
            yield from _account(account_id, sid, settings, clock)


def _account(account_id: int, sid: str, settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Check an account's credentials, clock, permissions, coverage gaps and callbacks."""
    try:
        with session_scope() as session:
            credentials = load(session, account_id, settings)
            streams = session.scalars(select(Stream).where(Stream.account_id == account_id).order_by(Stream.id)).all()
            session.expunge_all()
        with open_reader(credentials, lambda: None, Runtime(settings)) as reader:
            yield _clock(sid, reader, clock)
            for stream in streams:
                yield _stream(sid, stream, reader, clock(), from_environment=sid == settings.twilio_account_sid)
            if reader.uses_next_password:
                detail = "the auth token is refused, next_auth_token is accepted: make it the auth token"
                yield Finding("note", f"account {sid}", detail)
    except TwilioError as error:
        advice = advise(str(error), from_environment=sid == settings.twilio_account_sid)
        yield Finding("wrong", f"account {sid}", str(error), advice)
    with session_scope() as session:
        yield from _gaps(session, account_id, sid)
        if not signing_tokens(session, settings, sid):
            detail = "no auth token is known, so they cannot be verified and are refused: see docs/twilio-setup.md"
            yield Finding("note", f"callbacks of {sid}", detail)


def _clock(sid: str, reader: TwilioReader, clock: Clock) -> Finding:
    twilio_time = reader.server_time()
    if twilio_time is None:
        return Finding("note", f"account {sid}", "Twilio does not say what time it is")
    skew = clock() - twilio_time
    if abs(skew) > MAX_SKEW:
        seconds = round(skew.total_seconds())
        return Finding("wrong", f"account {sid}", f"this clock differs from Twilio's by {seconds} seconds: correct it")
    try:
        reader.account()
    except TwilioRefused:
        detail = "the clocks agree; this credential may not read the account's own record, so its status stays unknown"
        return Finding("note", f"account {sid}", detail)
    return Finding("ok", f"account {sid}", "the credentials are accepted, the clocks agree")


def _stream(sid: str, stream: Stream, reader: TwilioReader, now: datetime, *, from_environment: bool) -> Finding:
    what = f"{stream.log_type}s of {sid}"
    if stream.unavailable:
        return Finding("note", what, stream.unavailable_reason or "cannot be read")
    try:
        next(reader.list_pages(LogType(stream.log_type), since=now - timedelta(hours=1)), None)
    except TwilioError as error:
        return Finding("wrong", what, str(error), advise(str(error), from_environment=from_environment))
    if stream.last_error:
        said = "can be read from here, but the workers' last poll failed: restart them if the settings have changed"
        return Finding("note", what, f"{said} ({stream.last_error})")
    return Finding("ok", what, "can be read")


def _gaps(session: Session, account_id: int, sid: str) -> Iterator[Finding]:
    """Report the latest coverage gap of each stream."""
    query = select(Stream.log_type, CoverageGap).join(CoverageGap, CoverageGap.stream_id == Stream.id)
    query = query.where(Stream.account_id == account_id).order_by(Stream.id, CoverageGap.until.desc())
    for log_type, gap in session.execute(query.ext(distinct_on(Stream.id))):
        detail = f"missing from {rfc3339(gap.since)} to {rfc3339(gap.until)}: {gap.reason}"
        yield Finding("note", f"{log_type}s of {sid}", detail)


def _mail(settings: Settings) -> Finding:
    if settings.smtp_host is None:
        return Finding("note", "mail", "SMTP_HOST is not set: email actions fail until it is")
    try:
        asyncio.run(_smtp_login(settings))
    except (aiosmtplib.SMTPException, OSError) as error:
        what = f"{settings.smtp_host}:{settings.smtp_port} did not accept the connection ({type(error).__name__})"
        if is_untrusted(error):
            return Finding("wrong", "mail", f"{what}: {NOT_TRUSTED}")
        return Finding("wrong", "mail", f"{what}: see SMTP_HOST, SMTP_PORT, SMTP_SECURITY, SMTP_USER and SMTP_PASSWORD")
    return Finding("ok", "mail", f"{settings.smtp_host} accepts mail")


async def _smtp_login(settings: Settings) -> None:
    """Connect, encrypt and sign in, but send nothing."""
    client = smtp.make_client(settings, TIMEOUT_SECONDS)
    async with client:
        await smtp.login(client, settings)
        await client.noop()


def _public_address(settings: Settings) -> Finding:
    address = httpx.URL(settings.public_base_url)
    try:
        url = f"{settings.public_base_url}/api/health/live"
        answer = httpx.get(url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=tls_context())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        detail = f"{settings.public_base_url} does not answer ({type(error).__name__})"
        if is_untrusted(error):
            return Finding("wrong", "public address", f"{detail}: {NOT_TRUSTED}")
        return Finding("wrong", "public address", f"{detail}: see PUBLIC_BASE_URL, and whether the API runs")
    if not answer.is_success:
        detail = f"{settings.public_base_url} answers with {answer.status_code}"
        return Finding("wrong", "public address", f"{detail}: see PUBLIC_BASE_URL and the proxy before the API")
    if address.host in LOOPBACK_HOSTS:
        detail = "only this machine can reach it: links in mails and Twilio's callbacks need a public PUBLIC_BASE_URL"
        return Finding("note", "public address", detail)
    return Finding("ok", "public address", "the API answers there")


def _sign_in_provider(settings: Settings) -> Finding:
    provider = Provider(settings)
    try:
        provider.examine()
    except SignInUnavailable as error:
        return Finding("wrong", "sign-in provider", f"{provider.name} cannot be used: {error}")
    if settings.passwordless_only and not settings.oidc_admin_groups:
        return Finding("note", "sign-in provider", "OIDC_ADMIN_GROUPS is not set: nobody can be admin in the console")
    return Finding("ok", "sign-in provider", f"{provider.name} answers; it must know {provider.callback_url}")
