"""Reads Twilio's REST API: lists page by page, and single records. Retries transient errors; everything is bounded."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import structlog
from twilio.base.client_base import ClientBase

from app.enums import LogType
from app.errors import TwilioRateLimited, TwilioRefused, TwilioTimeout, TwilioUnavailable
from app.services.twilio.dates import parse_time
from app.services.twilio.list_filters import alert_filters, day_filters
from app.services.twilio.pages import Page, follow, read_page
from app.services.twilio.responses import (
    AccountRecord,
    error_of,
    parse_account,
    parse_record,
    parse_resource,
    retry_delay,
)
from app.services.twilio.transport import READ_SECONDS, Answer, PooledHttp
from app.utils.clock import Clock, utc_now
from app.utils.proxies import DIRECT, Proxy

PAGE_SIZE = 1000
MAX_TRIES = 5
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
            return self._pages(self._monitor, "/v1/Alerts", KEYS[log_type], alert_filters(since, until), start)
        filters = day_filters(ENDED_FILTER if by_end else TIME_FILTERS[log_type], since, until)
        return self._pages(self._api, f"{self.home}/{RESOURCES[log_type]}.json", KEYS[log_type], filters, start)

    def read_one(self, log_type: LogType, sid: str) -> msgspec.Raw | None:
        """Read one log completely by its SID; an error includes its request and response. None if Twilio has none."""
        if log_type == LogType.ERROR:
            return self._read(f"{self._monitor}/v1/Alerts/{sid}")
        return self._read(f"{self._api}{self.home}/{RESOURCES[log_type]}/{sid}.json")

    def account(self) -> AccountRecord | None:
        """Read the account's own record."""
        record = self._read(f"{self._api}{self.home}.json")
        return None if record is None else parse_account(record)

    def accounts(self) -> Iterator[AccountRecord]:
        """List the account and its subaccounts."""
        for page in self._pages(self._api, "/2010-04-01/Accounts.json", "accounts", {}):
            yield from (parse_account(record) for record in page.records)

    def list_resources(self, base_url: str, path: str, key: str) -> Iterator[dict[str, Any]]:
        """List configured resources (numbers, services, sinks, subscriptions) in Twilio's form."""
        for page in self._pages(base_url, path, key, {}):
            yield from (parse_resource(record) for record in page.records)

    def change(self, method: str, address: str, form: dict[str, object] | None) -> dict[str, Any]:
        """Create, change or delete a resource. Never retried: the request may have taken effect.

        Returns: Twilio's response, empty after a deletion.
        """
        answer = self._send(method, address, data=form)
        if not 200 <= answer.status_code < 300:
            raise error_of(answer, httpx.URL(address).path, self._clock())
        return parse_resource(answer.body) if answer.body else {}

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
        return f"/2010-04-01/Accounts/{self._account_sid}"

    def server_time(self) -> datetime | None:
        """Return Twilio's time, to the second, from the `Date` header of any response, including a refusal."""
        answer = self._send("GET", f"{self._api}{self.home}.json")
        return parse_time(answer.headers.get("date", ""))

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
            return parse_record(self._get(address, None).body)

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
            except TwilioTimeout:
                raise
            except (TwilioUnavailable, TwilioRateLimited) as error:
                wait = retry_delay(error, attempt)
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
            raise error_of(answer, httpx.URL(address).path, self._clock())
        return answer


def _sibling(api_url: str, product: str) -> str:
    """Return the base URL of another product: next to `api.twilio.com`, in any region; else the same server."""
    return api_url.replace("://api.", f"://{product}.", 1) if api_url.endswith(".twilio.com") else api_url
