"""Reads Twilio's REST API: lists page by page, and single records. Retries transient errors; everything is bounded."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import structlog
from twilio.base.client_base import ClientBase

from app.enums import LogType
from app.errors import TwilioError, TwilioRateLimited, TwilioRefused, TwilioSilent, TwilioUnavailable
from app.services.twilio.pages import Page, follow, prune_depth, read_page, repair_text
from app.services.twilio.transport import READ_SECONDS, Answer, PooledHttp
from app.utils import retry_after
from app.utils.clock import Clock, utc_now
from app.utils.proxies import DIRECT, Proxy

PAGE_SIZE = 1000
MAX_TRIES = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
RETRY_WITHIN_SECONDS = 20.0
"""A longer `Retry-After` ends the poll; the stream is due again when it is over."""
MAX_PAGES = 50_000
MAX_EMPTY_PAGES = 100
"""A page may be empty while more follow, but not without limit."""
UNAUTHORIZED = 401
GONE = 404

KEYS = {LogType.CALL: "calls", LogType.MESSAGE: "messages", LogType.ERROR: "alerts"}
RESOURCES = {LogType.CALL: "Calls", LogType.MESSAGE: "Messages"}
TIME_FILTERS = {LogType.CALL: "StartTime", LogType.MESSAGE: "DateSent"}
ENDED_FILTER = "EndTime"

log = structlog.get_logger()
T = TypeVar("T")


class AccountRecord(msgspec.Struct):
    """The fields of an account that are used. Its `auth_token` is a secret and never decoded."""

    sid: str
    friendly_name: str | None = None
    status: str | None = None
    owner_account_sid: str | None = None
    type: str | None = None


class _Problem(msgspec.Struct):
    """Twilio's JSON error."""

    code: int | str | None = None
    message: str | None = None
    title: str | None = None


class TwilioReader:
    """Reads one account. Use it as a context manager: it keeps connections open."""

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        api_base_url: str,
        monitor_base_url: str,
        next_password: str | None = None,
        before_request: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Clock = utc_now,
        tries: int = MAX_TRIES,
        timeout_seconds: float = READ_SECONDS,
        proxy: Proxy = DIRECT,
    ) -> None:
        """Prepare to read.

        Args:
            username: the SID of the account or of an API key.
            next_password: tried if the other one is refused, and used from then on if Twilio accepts it.
            before_request: called before every request; it may wait or raise.
        """
        self._account_sid = account_sid
        self._api, self._monitor = api_base_url, monitor_base_url
        self._before_request, self._sleep, self._clock = before_request, sleep, clock
        self._tries = tries
        self._http = PooledHttp(timeout_seconds, proxy=proxy)
        self._client = self._make_client(username, password)
        self._next_client = None if next_password is None else self._make_client(username, next_password)
        self.uses_next_password = False
        """Twilio refused the password and accepted the next one."""

    def _make_client(self, username: str, password: str) -> Any:
        # With an empty environment, the SDK would read the process's. Edges and regions are part of the base URLs.
        return ClientBase(
            username, password, self._account_sid, http_client=self._http, environment={"TWILIO_EDGE": ""}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TwilioReader({self._account_sid})"

    def close(self) -> None:
        self._http.close()

    def list_pages(
        self,
        log_type: LogType,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        by_end: bool = False,
        start: str | None = None,
    ) -> Iterator[Page]:
        """List logs page by page; calls and messages are newest first.

        Args:
            since, until: the times of sending, starting or generation. The list may contain more: the filters of
                calls and messages know only whole days, and omit records without such a time.
            by_end: for calls, filter by when they ended.
            start: the `next_link` of a page, to continue after it.
        Raises: TwilioError; pages before it are valid.
        """
        if log_type == LogType.ERROR:
            return self._pages(self._monitor, "/v1/Alerts", KEYS[log_type], _alert_filters(since, until), start)
        filters = _day_filters(ENDED_FILTER if by_end else TIME_FILTERS[log_type], since, until)
        return self._pages(self._api, f"{self._home}/{RESOURCES[log_type]}.json", KEYS[log_type], filters, start)

    def read_one(self, log_type: LogType, sid: str) -> msgspec.Raw | None:
        """Read one log completely by its SID; an error includes its request and response. None if Twilio has none."""
        if log_type == LogType.ERROR:
            return self._read(f"{self._monitor}/v1/Alerts/{sid}")
        return self._read(f"{self._api}{self._home}/{RESOURCES[log_type]}/{sid}.json")

    def account(self) -> AccountRecord | None:
        """Read the account's own record."""
        record = self._read(f"{self._api}{self._home}.json")
        return None if record is None else _account(record)

    def accounts(self) -> Iterator[AccountRecord]:
        """List the account and its subaccounts."""
        for page in self._pages(self._api, "/2010-04-01/Accounts.json", "accounts", {}):
            yield from (_account(record) for record in page.records)

    def list_resources(self, base_url: str, path: str, key: str) -> Iterator[dict[str, Any]]:
        """List configured resources (numbers, services, sinks, subscriptions) in Twilio's form."""
        for page in self._pages(base_url, path, key, {}):
            yield from (msgspec.json.decode(record, type=dict[str, Any]) for record in page.records)

    def change(self, method: str, address: str, form: dict[str, object] | None) -> dict[str, Any]:
        """Create, change or delete a resource. Never retried: the request may have taken effect.

        Returns: Twilio's response, empty after a deletion.
        """
        answer = self._send(method, address, data=form)
        if not 200 <= answer.status_code < 300:
            raise _error(answer, httpx.URL(address).path, self._clock())
        return msgspec.json.decode(answer.body, type=dict[str, Any]) if answer.body else {}

    @property
    def api_url(self) -> str:
        """The base URL of calls, messages and numbers."""
        return self._api

    @property
    def messaging_url(self) -> str:
        """The base URL of messaging services."""
        return _sibling(self._api, "messaging")

    @property
    def events_url(self) -> str:
        """The base URL of Event Streams."""
        return _sibling(self._api, "events")

    @property
    def home(self) -> str:
        """The path of the account in the 2010 API."""
        return self._home

    def server_time(self) -> datetime | None:
        """Return Twilio's time, to the second, from the `Date` header of any response, including a refusal."""
        answer = self._send("GET", f"{self._api}{self._home}.json")
        try:
            return parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return None

    @property
    def _home(self) -> str:
        return f"/2010-04-01/Accounts/{self._account_sid}"

    def _pages(
        self, base_url: str, path: str, key: str, filters: dict[str, str], start: str | None = None
    ) -> Iterator[Page]:
        """Follow a list from its first page to its last, and stop at cycles."""
        address = follow(base_url, start) if start else base_url + path
        params = None if start else {**filters, "PageSize": str(PAGE_SIZE)}
        visited: set[str] = set()
        ends: set[tuple[bytes, bytes]] = set()
        empty = 0
        while True:
            records, link = self._page(address, params if not visited else None, key)
            if len(records) > 1:
                both = bytes(records[0]), bytes(records[-1])
                if both in ends:
                    raise TwilioUnavailable(f"the list of {key} runs in a circle: a page came twice")
                ends.add(both)
            empty = 0 if records else empty + 1
            visited.add(address)
            if link is None:
                yield Page(records, has_next=False)
                return
            yield Page(records, has_next=True, next_link=link)
            address = follow(base_url, link)
            if address in visited or empty > MAX_EMPTY_PAGES or len(visited) >= MAX_PAGES:
                raise TwilioUnavailable(f"the list of {key} does not end: its next-page links run in a circle")

    def _page(self, address: str, params: dict[str, str] | None, key: str) -> tuple[list[msgspec.Raw], str | None]:
        return self._with_retries(lambda: read_page(self._get(address, params).body, key))

    def _read(self, address: str) -> msgspec.Raw | None:
        def read() -> msgspec.Raw:
            return _record(self._get(address, None).body)

        try:
            return self._with_retries(read)
        except TwilioRefused as error:
            if error.status_code == GONE:
                return None
            raise

    def _with_retries(self, read: Callable[[], T]) -> T:
        """Retry transient errors with increasing random delays. A timeout is not retried: it took its time already."""
        for attempt in range(1, self._tries + 1):
            try:
                return read()
            except TwilioSilent:
                raise
            except (TwilioUnavailable, TwilioRateLimited) as error:
                wait = _wait(error, attempt)
                if attempt == self._tries or wait > RETRY_WITHIN_SECONDS:
                    raise
                log.info("asking Twilio again", attempt=attempt, wait_seconds=round(wait, 1), reason=error.reason)
                self._sleep(wait)
        raise AssertionError("unreachable")

    def _send(self, method: str, address: str, **values: Any) -> Answer:
        """Send one request. If the password is refused, try the next one once."""
        self._before_request()
        answer: Answer = self._client.request(method, address, **values)
        if answer.status_code != UNAUTHORIZED or self._next_client is None:
            return answer
        client, self._next_client = self._next_client, None
        self._before_request()
        second: Answer = client.request(method, address, **values)
        if second.status_code == UNAUTHORIZED:
            return answer
        self._client, self.uses_next_password = client, True
        log.warning(
            "the auth token is refused, next_auth_token is accepted: make it the auth token",
            account_sid=self._account_sid,
        )
        return second

    def _get(self, address: str, params: dict[str, str] | None) -> Answer:
        """Send one request, and raise an error for every status but success."""
        answer = self._send("GET", address, params=params)
        if answer.status_code != 200:
            raise _error(answer, httpx.URL(address).path, self._clock())
        return answer


def _sibling(api_url: str, product: str) -> str:
    """Return the base URL of another product: next to `api.twilio.com`, in any region; else the same server."""
    return api_url.replace("://api.", f"://{product}.", 1) if api_url.endswith(".twilio.com") else api_url


def _day_filters(name: str, since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Build the filters of calls and messages. An upper bound ends at the first moment of its day."""
    filters = {}
    if since is not None:
        filters[f"{name}>"] = since.astimezone(UTC).date().isoformat()
    if until is not None:
        filters[f"{name}<"] = (until.astimezone(UTC) + timedelta(days=1, microseconds=-1)).date().isoformat()
    return filters


def _alert_filters(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Build the filters of the error log. Both bounds are inclusive."""
    filters = {}
    if since is not None:
        filters["StartDate"] = _iso_second(since)
    if until is not None:
        filters["EndDate"] = _iso_second(until + timedelta(microseconds=999_999))
    return filters


def _iso_second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(body: bytes) -> msgspec.Raw:
    """Check that a body is one JSON object."""
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        body = prune_depth(repair_text(body))
        try:
            msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            raise TwilioUnavailable("Twilio's answer is not the JSON of a record: it is read again") from None
    return msgspec.Raw(body)


def _account(record: msgspec.Raw) -> AccountRecord:
    try:
        return msgspec.json.decode(record, type=AccountRecord)
    except msgspec.DecodeError:
        raise TwilioUnavailable("Twilio's record of an account cannot be read") from None


def _wait(error: TwilioError, attempt: int) -> float:
    """Return the delay before a retry: Twilio's Retry-After, or random exponential backoff."""
    if isinstance(error, TwilioRateLimited) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.random() * FIRST_WAIT_SECONDS  # noqa: S311  # no secret
    ceiling = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, ceiling)  # noqa: S311  # no secret


def _error(answer: Answer, path: str, now: datetime) -> TwilioError:
    """Build the error for a status, with the request and Twilio's message."""
    status, problem = answer.status_code, _problem(answer.body)
    detail = f"HTTP {status}" + (f", code {problem.code}" if problem.code else "")
    if status == 429:
        return TwilioRateLimited(
            f"too many requests to {path} ({detail})",
            retry_after.parse_retry_after(answer.headers.get("retry-after"), now),
        )
    if status >= 500 or status < 400 or status == 408:
        return TwilioUnavailable(f"Twilio cannot answer {path} now ({detail})")
    code = int(problem.code) if problem.code and str(problem.code).isdigit() else None
    return TwilioRefused(
        f"Twilio refused {path} ({detail}): check the account, its credentials and what they may read", status, code
    )


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, RecursionError):
        return _Problem()
