"""Webhooks: one HTTP request to the user's URL, signed, through the guarded client."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from pydantic import Field

from app import __version__
from app.actions import formats, headers, signing
from app.actions.base import Envelope, Notification, Receipt, Rendered, Sender, SendError
from app.actions.fields import ConfigModel, parse, refuse
from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.utils import retry_after
from app.utils.addresses import check_url
from app.utils.clock import rfc3339, utc_now
from app.utils.http import Answer, GuardedClient, Lookup, RequestFailed, system_lookup
from app.utils.json_types import JsonObject
from app.utils.redact import HIDDEN, clean_text, hide_secrets, mask_secret, mask_url, plain_url

OLD_SECRET_TTL = timedelta(hours=24)
MAX_OLD_SECRETS = 2
RETRIED_STATUSES = frozenset({408, 425, 429})
MAX_RESPONSE_LENGTH = 1024
TEAMS_FAILED = re.compile(rb"\bfail(?:ed|ure)\b|\berror\b", re.IGNORECASE)
TEAMS_STATUS = re.compile(rb"HTTP error (\d{3})")
PERMANENT_REASONS = frozenset({"blocked"})
UNCERTAIN_REASONS = frozenset({"timeout", "protocol"})
END_PAUSE_SECONDS = 1.0
"""Each wait before retrying the resolve of a test is this much longer. The first retry is immediate."""


class WebhookConfig(ConfigModel):
    """The config as a user writes it."""

    url: str | None = None
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    secret: str | None = None
    format: Literal["standard", "slack", "teams", "google_chat", "discord", "pagerduty"] | None = None
    body: str | None = Field(None, min_length=1)
    routing_key: str | None = None


class Webhook:
    """The kind `webhook`."""

    def __init__(self, settings: Callable[[], Settings], lookup: Lookup = system_lookup) -> None:
        self._settings = settings
        self._lookup = lookup

    @property
    def longest_attempt_seconds(self) -> float:
        """The limit of the whole request."""
        return float(self._settings().webhook_timeout_seconds)

    def check(self, config: JsonObject) -> JsonObject:
        """Return the config with defaults, and with a new secret if the format signs and none was given.

        Raises: InvalidInput.
        """
        parsed = parse(WebhookConfig, config)
        checked: JsonObject = {
            "url": self._check_url(parsed),
            "method": parsed.method,
            "headers": parsed.headers,
            "format": parsed.format or "standard",
        }
        _check_headers(parsed, checked["url"])
        if parsed.secret is not None:
            try:
                signing.key_of(parsed.secret)
            except ValueError as error:
                raise refuse("secret", str(error)) from None
        secret = parsed.secret or (signing.make_secret() if checked["format"] == "standard" else None)
        return (
            checked
            | ({"secret": secret} if secret else {})
            | formats.check(parsed.format, parsed.body, parsed.routing_key)
        )

    def _check_url(self, parsed: WebhookConfig) -> str:
        url = parsed.url
        if url is None and parsed.format == "pagerduty":
            url = formats.PAGERDUTY_URL
        if url is None:
            raise refuse("url", "must be given: the address that takes the webhook")
        try:
            return check_url(url, self._settings().webhook_allowed_networks)
        except ValueError as error:
            raise refuse("url", str(error)) from None

    def mask(self, config: JsonObject) -> JsonObject:
        """Mask the secrets, the values of headers, and the secret part of the URL."""
        shown = {name: value for name, value in config.items() if name != "old_secrets"}
        shown["url"] = _shown_url(config)
        shown["headers"] = dict.fromkeys(config["headers"], HIDDEN)
        if "secret" in config:
            shown["secret"] = mask_secret(config["secret"], signing.PREFIX)
        if "routing_key" in config:
            shown["routing_key"] = mask_secret(config["routing_key"])
        return shown

    def unmask(self, config: JsonObject, stored: JsonObject) -> JsonObject:
        """Replace masked secrets by the stored ones; an omitted secret stays as it was."""
        masked = self.mask(stored)
        real = dict(config)
        for name in ("url", "secret", "routing_key"):
            if name in stored and real.get(name) == masked[name]:
                real[name] = stored[name]
        if "secret" not in config and "secret" in stored:
            real["secret"] = stored["secret"]
        if isinstance(config.get("headers"), dict):
            kept: Mapping[str, str] = stored["headers"]
            real["headers"] = {
                name: kept.get(name, value) if value == HIDDEN else value for name, value in config["headers"].items()
            }
        return real

    def carry_over(self, config: JsonObject, stored: JsonObject, now: datetime) -> JsonObject:
        """Keep a replaced secret for one more day of signing."""
        kept = [old for old in stored.get("old_secrets", []) if datetime.fromisoformat(old["until"]) > now]
        if "secret" in stored and stored["secret"] != config.get("secret"):
            kept.insert(0, {"secret": stored["secret"], "until": rfc3339(now + OLD_SECRET_TTL)})
        kept = [old for old in kept if old["secret"] != config.get("secret")][:MAX_OLD_SECRETS]
        return config | ({"old_secrets": kept} if kept and "secret" in config else {})

    def recipients(self, config: JsonObject) -> list[str]:
        """A webhook has one recipient: its URL without the secret parts."""
        return [_shown_url(config, plain=True)]

    def takes_digests(self, config: JsonObject) -> bool:
        """PagerDuty gets no digests: it opens and closes one incident per alert."""
        return bool(config["format"] != "pagerduty")

    def no_reports(self, config: JsonObject) -> str | None:
        """PagerDuty takes what somebody is to be called for."""
        takes = config["format"] != "pagerduty"
        return None if takes else "cannot go to PagerDuty, which calls people: make a mail or another webhook for it"

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Make the body that every attempt will send."""
        return formats.render(config, notification)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Sender]:
        """Open the client; connections live as long."""
        settings = self._settings()
        async with GuardedClient(
            settings.webhook_allowed_networks,
            settings.webhook_timeout_seconds,
            self._lookup,
            settings.outgoing_proxy,
        ) as client:
            yield _WebhookSender(client, settings.webhook_timeout_seconds)


class _WebhookSender:
    def __init__(self, client: GuardedClient, deadline_seconds: float) -> None:
        self._client = client
        self._deadline_seconds = deadline_seconds

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Make one attempt: one request, and another for the event that ends a test, all within the time of one.

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
            failure = error  # It may have arrived all the same.
        receipt = await self._end_test(config, envelope, ending[0], ends_at)
        if failure:
            raise failure
        return receipt

    async def _end_test(self, config: JsonObject, envelope: Envelope, body: bytes, ends_at: float) -> Receipt:
        """Send the event that ends a test's incident, repeatedly while time is left: nothing else would end it.

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
            raise SendError(
                str(error),
                permanent=error.reason in PERMANENT_REASONS,
                may_have_arrived=error.reason in UNCERTAIN_REASONS,
            ) from None
        said = clean_text(hide_secrets(answer.body.decode("utf-8", "replace"), _secrets(config)), MAX_RESPONSE_LENGTH)
        if config["format"] == "teams":
            _check_teams(answer, said)
        return _raise_for_status(answer, said, now)


def _raise_for_status(answer: Answer, reason: str, now: datetime) -> Receipt:
    """Tell success from failure that may pass and failure that stays.

    Raises: SendError.
    """
    status = answer.status
    if 200 <= status < 300:
        return Receipt(status, reason)
    transient = _is_transient(status)
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
    """Find a failure that a connector of Teams reports within a 200, with the status that Teams gave it.

    Raises: SendError.
    """
    if answer.status != 200 or not TEAMS_FAILED.search(answer.body):
        return
    found = TEAMS_STATUS.search(answer.body)
    status = int(found[1]) if found else None
    raise SendError(
        f"the connector answered 200, but Teams did not take the message: {_meaning(status or 500)}",
        permanent=not _is_transient(status or 500),
        status_code=answer.status,
        response=reason,
    )


def _is_transient(status: int) -> bool:
    return status in RETRIED_STATUSES or not 300 <= status < 500


def _meaning(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, so give the action the final address"
    if status == 410:
        return "it is gone, so the action is disabled"
    if _is_transient(status):
        return "it may take it later"
    return "it refuses the request, so check the action's config"


def _headers(config: JsonObject, envelope: Envelope, body: bytes, now: datetime) -> dict[str, str]:
    """Put together the headers of one attempt."""
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
    """Name what an answer may give back of our secrets: some receivers echo what they were sent."""
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
    """Read the user and password out of the value of a header, where it holds such."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        return ""


def _still_signs(old: Mapping[str, str], now: datetime) -> bool:
    return datetime.fromisoformat(old["until"]) > now


def _bare_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _shown_url(config: JsonObject, *, plain: bool = False) -> str:
    """Show a URL without its secrets; at the services that put their token into the path, without the path."""
    if config["format"] in formats.SECRET_PATHS:
        parts = urlsplit(config["url"])
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{HIDDEN}"
    return plain_url(config["url"]) if plain else mask_url(config["url"])


def _check_headers(parsed: WebhookConfig, url: str) -> None:
    errors = headers.check_headers(parsed.headers)
    if "@" in urlsplit(url).netloc and any(name.lower() == "authorization" for name in parsed.headers):
        errors["Authorization"] = "is made from the user and password of the URL: give one of the two"
    if errors:
        raise InvalidInput(
            [FieldError(f"config.headers.{name}".rstrip("."), reason) for name, reason in errors.items()]
        )
