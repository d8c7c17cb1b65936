"""Opens readers of an account's logs. The requests count against the account's budget, and wait for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.config import Settings
from app.database import session_scope
from app.services.ingest import budget
from app.services.ingest.credentials import Credentials, load
from app.services.twilio.client import MAX_TRIES, TwilioReader
from app.services.twilio.transport import READ_SECONDS
from app.utils.clock import Clock, utc_now


@dataclass(frozen=True)
class Runtime:
    """What reading needs besides its account. Tests replace the clock and the sleep."""

    settings: Settings
    clock: Clock = utc_now
    sleep: Callable[[float], None] = time.sleep


def open_with_budget(
    account_id: int,
    runtime: Runtime,
    *,
    also: Callable[[Session], None] = lambda _: None,
    prefer_token: bool = False,
    tries: int = MAX_TRIES,
    timeout_seconds: float = READ_SECONDS,
) -> TwilioReader:
    """Open a reader whose requests wait while the account's budget is spent.

    Args:
        also: runs in the transaction that counts a request, again on every retry; it may raise.
        prefer_token: try the auth token first; most API keys may not read accounts.

    Raises: NoCredentials.
    """
    settings, clock, sleep = runtime.settings, runtime.clock, runtime.sleep
    per_minute = settings.twilio_max_requests_per_minute
    before_request = budget.rate_limiter(account_id, per_minute, clock, sleep, also)
    with session_scope() as session:
        credentials = load(session, account_id, settings, prefer_token=prefer_token)
    return open_reader(credentials, before_request, runtime, tries=tries, timeout_seconds=timeout_seconds)


def open_reader(
    credentials: Credentials,
    before_request: Callable[[], None],
    runtime: Runtime,
    *,
    tries: int = MAX_TRIES,
    timeout_seconds: float = READ_SECONDS,
) -> TwilioReader:
    """Open a reader of an account's logs.

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
        clock=runtime.clock,
        sleep=runtime.sleep,
        tries=tries,
        timeout_seconds=timeout_seconds,
        proxy=credentials.proxy,
    )
