"""Webhooks: one HTTP request to the user's URL, signed, through the guarded client."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field

from app.actions import formats, headers, signing
from app.actions.base import Notification, Rendered, Sender
from app.actions.fields import ConfigModel, parse, refuse
from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.utils.addresses import check_url
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject
from app.utils.redact import HIDDEN, mask_secret, mask_url, plain_url

if TYPE_CHECKING:
    from app.utils.resolver import Lookup

OLD_SECRET_TTL = timedelta(hours=24)
MAX_OLD_SECRETS = 2


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

    def __init__(self, settings: Callable[[], Settings], lookup: "Lookup | None" = None) -> None:
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
        """PagerDuty gets no reports: it calls people."""
        takes = config["format"] != "pagerduty"
        return None if takes else "cannot be sent to PagerDuty, which pages people: use an email or another webhook"

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Render the body that every attempt sends."""
        return formats.render(config, notification)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Sender]:
        """Open the client, with its connections."""
        # Imported late: the API sends only tests of actions, and the library takes 4 MB.
        from app.actions.webhook_sender import WebhookSender
        from app.utils.http import GuardedClient
        from app.utils.resolver import system_lookup

        settings = self._settings()
        async with GuardedClient(
            settings.webhook_allowed_networks,
            settings.webhook_timeout_seconds,
            self._lookup or system_lookup,
            settings.outgoing_proxy,
        ) as client:
            yield WebhookSender(client, settings.webhook_timeout_seconds)


def _shown_url(config: JsonObject, *, plain: bool = False) -> str:
    """Return a URL without its secrets; for services whose token is in the path, without the path."""
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
