"""Sends webhooks: the headers of an attempt, and the meaning of the receiver's response."""

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from app import __version__
from app.actions import formats, signing
from app.actions.base import Envelope, NotContacted, Receipt, SendError
from app.actions.http_status import is_transient
from app.utils import retry_after
from app.utils.clock import utc_now
from app.utils.http import GuardedClient, RequestFailed
from app.utils.json_types import JsonObject
from app.utils.redact import clean_text, hide_secrets
from app.utils.response_head import Answer

MAX_RESPONSE_LENGTH = 1024
TEAMS_FAILED = re.compile(rb"\bfail(?:ed|ure)\b|\berror\b", re.IGNORECASE)
TEAMS_STATUS = re.compile(rb"HTTP error (\d{3})")
UNCERTAIN_REASONS = frozenset({"timeout", "protocol"})
END_PAUSE_SECONDS = 1.0
"""Each wait before retrying the resolve of a test is this much longer. The first retry is immediate."""


class WebhookSender:
    """Sends the events of one run through one client."""

    def __init__(self, client: GuardedClient, deadline_seconds: float) -> None:
        self._client = client
        self._deadline_seconds = deadline_seconds

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Make one attempt: one request, and a second one that ends a test of PagerDuty, within the same deadline.

        Raises: SendError.
        """
        event, *ending = formats.sent_bodies(config, envelope)
        if not ending:
            return await self._request(config, envelope, event, self._deadline_seconds)
        ends_at = asyncio.get_running_loop().time() + self._deadline_seconds
        failure = None
        try:
            await self._request(config, envelope, event, self._deadline_seconds / 2)
        except SendError as error:
            if error.permanent or not error.may_have_arrived:
                raise
            failure = error  # It may have arrived anyway.
        receipt = await self._end_test(config, envelope, ending[0], ends_at)
        if failure:
            raise failure
        return receipt

    async def _end_test(self, config: JsonObject, envelope: Envelope, body: bytes, ends_at: float) -> Receipt:
        """Send the event that ends a test's incident, and retry until the time is up: nothing else would end it.

        Raises: SendError.
        """
        loop, pause = asyncio.get_running_loop(), 0.0
        while True:
            try:
                return await self._request(config, envelope, body, ends_at - loop.time())
            except SendError as error:
                wait = max(pause, error.retry_after_seconds or 0.0)
                if error.permanent or loop.time() + wait >= ends_at:
                    raise _left_open(error) from None
            await asyncio.sleep(wait)
            pause += END_PAUSE_SECONDS

    async def _request(self, config: JsonObject, envelope: Envelope, body: bytes, seconds: float) -> Receipt:
        now = utc_now()
        try:
            answer = await self._client.request(
                config["method"], _bare_url(config["url"]), _headers(config, envelope, body, now), body, seconds
            )
        except RequestFailed as error:
            if error.reason == "blocked":
                raise NotContacted(str(error)) from None
            raise SendError(str(error), permanent=False, may_have_arrived=error.reason in UNCERTAIN_REASONS) from None
        body_text = answer.body.decode("utf-8", "replace")
        response = clean_text(hide_secrets(body_text, _secrets(config)), MAX_RESPONSE_LENGTH)
        if config["format"] == "teams":
            _check_teams(answer, response)
        return _receipt_of(answer, response, now)


def _receipt_of(answer: Answer, reason: str, now: datetime) -> Receipt:
    """Return the receipt of a success.

    Raises: SendError.
    """
    status = answer.status
    if 200 <= status < 300:
        return Receipt(status, reason)
    transient = is_transient(status)
    raise SendError(
        f"the receiver answered {status}: {_meaning(status)}",
        permanent=not transient,
        status_code=status,
        response=reason,
        retry_after_seconds=(
            retry_after.parse_retry_after(answer.headers.get("retry-after"), now, answer.headers.get("date"))
            if transient
            else None
        ),
        disables_action=status == 410,
    )


def _left_open(error: SendError) -> SendError:
    return SendError(
        f"the incident of this test may still be open, so resolve it there: {error}",
        permanent=error.permanent,
        status_code=error.status_code,
        response=error.response,
    )


def _check_teams(answer: Answer, reason: str) -> None:
    """Find a failure that a Teams connector reports within a 200, with the status from Teams.

    Raises: SendError.
    """
    if answer.status != 200 or not TEAMS_FAILED.search(answer.body):
        return
    found = TEAMS_STATUS.search(answer.body)
    status = int(found[1]) if found else None
    raise SendError(
        f"the connector answered 200, but Teams did not take the message: {_meaning(status or 500)}",
        permanent=not is_transient(status or 500),
        status_code=answer.status,
        response=reason,
    )


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, so give the action the final address"
    if status == 410:
        return "it is gone, so the action is disabled"
    if is_transient(status):
        return "it may accept it later"
    return "it refuses the request, so check the action's config"


def _headers(config: JsonObject, envelope: Envelope, body: bytes, now: datetime) -> dict[str, str]:
    """Build the headers of one attempt."""
    sent = {
        "Content-Type": "application/json",
        "User-Agent": f"GiftPulse/{__version__}",
        "Accept-Encoding": "identity",
        **config["headers"],
    }
    userinfo = urlsplit(config["url"]).netloc.rpartition("@")[0]
    if userinfo:
        sent["Authorization"] = f"Basic {_basic(userinfo)}"
    if "secret" in config:
        timestamp = int(now.timestamp())
        secrets = [
            config["secret"],
            *(old["secret"] for old in config.get("old_secrets", []) if _still_signs(old, now)),
        ]
        sent["webhook-id"] = envelope.delivery_id
        sent["webhook-timestamp"] = str(timestamp)
        sent["webhook-signature"] = signing.sign(secrets, envelope.delivery_id, timestamp, body)
    return sent


def _basic(userinfo: str) -> str:
    return base64.b64encode(unquote(userinfo).encode()).decode()


def _secrets(config: JsonObject) -> Iterator[str]:
    """List the secrets that a response may repeat: some receivers echo the request."""
    parts = urlsplit(config["url"])
    userinfo = parts.netloc.rpartition("@")[0]
    yield from (userinfo, unquote(userinfo), unquote(userinfo.partition(":")[2]), _basic(userinfo), parts.query)
    yield from (value for _, value in parse_qsl(parts.query))
    if config["format"] in formats.SECRET_PATHS:
        yield from (parts.path, parts.path.rpartition("/")[2])
    for value in config["headers"].values():
        token = value.rpartition(" ")[2]
        yield from (value, token, login := _login(token), login.partition(":")[2])
    yield from (config.get(name, "") for name in ("secret", "routing_key"))
    yield from (old["secret"] for old in config.get("old_secrets", []))


def _login(token: str) -> str:
    """Decode the user and password in the value of a header; empty if there are none."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        return ""


def _still_signs(old: Mapping[str, str], now: datetime) -> bool:
    return datetime.fromisoformat(old["until"]) > now


def _bare_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
