"""Any service that the Apprise library supports. The library runs in a separate process: see `apprise_child`."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from app.actions.apprise_child import LOCAL, LOCAL_SCHEMES
from app.actions.base import Envelope, NotContacted, Notification, Receipt, Rendered, Sender, SendError
from app.actions.fields import ConfigModel, parse
from app.actions.http_status import is_transient
from app.actions.message_content import MessageContent, compose, truncate
from app.config import Settings
from app.enums import NotificationType, Severity
from app.errors import FieldError, InvalidInput
from app.utils.json_types import JsonObject
from app.utils.redact import HIDDEN

MAX_URLS = 20
MAX_URL_LENGTH = 2048
STARTUP_SECONDS = 10.0
"""The time for starting the process, in addition to the timeout of a webhook."""
CHECK_TIMEOUT_SECONDS = 20.0
"""The time limit for validating URLs when an action is saved; only the library's own code runs."""
MAX_CONCURRENT = 6
ROOT = Path(__file__).resolve().parents[2]
PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV", "SYSTEMROOT")
"""The environment variables that the process gets: no secrets; the proxy is part of its task."""
NOTIFY_TYPES = {
    NotificationType.RESOLVED: "success",
    NotificationType.TEST: "info",
}
SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class AppriseConfig(ConfigModel):
    """The config as a user writes it."""

    urls: list[str] = Field(min_length=1, max_length=MAX_URLS)


class Apprise:
    """The kind `apprise`."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    @property
    def longest_attempt_seconds(self) -> float:
        """The timeout of a webhook, plus the start of a process."""
        return self._settings().webhook_timeout_seconds + STARTUP_SECONDS

    def check(self, config: JsonObject) -> JsonObject:
        """Return the config. The library parses each URL.

        Raises: InvalidInput.
        """
        urls = parse(AppriseConfig, config).urls
        invalid = [_url_error(url) for url in urls]
        if not any(invalid):
            invalid = self._ask_library(urls)
        errors = [FieldError(f"config.urls.{field}", reason) for field, reason in enumerate(invalid) if reason]
        if errors:
            raise InvalidInput(errors)
        return {"urls": urls}

    def _ask_library(self, urls: list[str]) -> list[str | None]:
        task = _task(self._settings(), do="check", urls=urls) | {"deadline_seconds": CHECK_TIMEOUT_SECONDS}
        try:
            ended = subprocess.run(  # noqa: S603  # our own program, without arguments from users
                _command(),
                input=orjson.dumps(task),
                capture_output=True,
                timeout=CHECK_TIMEOUT_SECONDS + STARTUP_SECONDS,
                env=_environment(),
                cwd=ROOT,
                check=True,
            )
            answer: list[str | None] = orjson.loads(ended.stdout)["wrong"]
        except (subprocess.SubprocessError, OSError, ValueError, KeyError):
            return ["could not be read by the Apprise library" for _ in urls]
        return answer

    def mask(self, config: JsonObject) -> JsonObject:
        """Hide everything but the schemes."""
        return {"urls": [label(url) for url in config["urls"]]}

    def unmask(self, config: JsonObject, stored: JsonObject) -> JsonObject:
        """Replace masked URLs by the stored ones."""
        real = {label(url): url for url in stored["urls"]}
        urls = config.get("urls")
        if not isinstance(urls, list):
            return config
        return config | {"urls": [real.get(url, url) if isinstance(url, str) else url for url in urls]}

    def carry_over(self, config: JsonObject, stored: JsonObject, now: datetime) -> JsonObject:
        """Nothing is kept after an edit."""
        return config

    def recipients(self, config: JsonObject) -> list[str]:
        """Each URL is a recipient."""
        return list(dict.fromkeys(label(url) for url in config["urls"]))

    def takes_digests(self, config: JsonObject) -> bool:
        """Digests are supported."""
        return True

    def no_reports(self, config: JsonObject) -> str | None:
        """The services accept only short texts."""
        return "can only go to email or webhook actions"

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Write title and text."""
        message = compose(notification)
        kind = NOTIFY_TYPES.get(notification.type, SEVERITIES[message.severity])
        return Rendered(
            {
                "title": truncate(" ".join(message.headline.split()), 250),
                "body": truncate(_text(message), 8000),
                "kind": kind,
            }
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Sender]:
        """Nothing stays open: each delivery has its own process."""
        yield _AppriseSender(self._settings())


def label(url: str) -> str:
    """Name a URL without its secrets: its scheme, and a short fingerprint that distinguishes it."""
    fingerprint = hashlib.sha256(url.encode()).hexdigest()[:6]
    return f"{url.partition('://')[0]}://{HIDDEN}{fingerprint}"


def _url_error(url: str) -> str | None:
    """Return what is obviously wrong with a URL."""
    scheme, separator, rest = url.partition("://")
    if scheme.lower() in LOCAL_SCHEMES:
        return LOCAL
    if scheme.lower() == "pagerduty":
        return "opens an incident for each recovery, too: use an action of type webhook with the format pagerduty"
    if not separator or not rest or not scheme.isascii() or not scheme.isalnum():
        return "must be an Apprise URL, such as ntfys://topic"
    if len(url) > MAX_URL_LENGTH or not url.isprintable():
        return f"must have at most {MAX_URL_LENGTH} characters, and none that cannot be seen"
    if HIDDEN in url:
        return "is masked, but matches no stored one"
    return None


def _text(message: MessageContent) -> str:
    lines = [message.summary, "", *(f"{name}: {value}" for name, value in message.facts)]
    if message.code is not None:
        lines.append(f"Error: {message.code} {message.code_means}".rstrip())
    if message.description:
        lines.append(f"About this rule: {message.description}")
    return "\n".join([*lines, "", message.next_step, message.link])


def _task(settings: Settings, **rest: Any) -> JsonObject:
    return {
        "allowed": [str(network) for network in settings.webhook_allowed_networks],
        "deadline_seconds": settings.webhook_timeout_seconds,
        "proxy": settings.outgoing_proxy.address,
        "no_proxy": settings.no_proxy,
    } | rest


def _command() -> list[str]:
    return [sys.executable, "-m", "app.actions.apprise_child"]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    if "SSL_CERT_FILE" in kept:
        # The library's requests know it only by this name.
        kept["REQUESTS_CA_BUNDLE"] = kept["SSL_CERT_FILE"]
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}


class _AppriseSender:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Run the library once.

        Raises: SendError.
        """
        urls = {label(url): url for url in config["urls"]}
        if envelope.recipient not in urls:
            raise NotContacted("the action no longer has this URL")
        task = _task(self._settings, do="send", url=urls[envelope.recipient], **envelope.content)
        async with self._slots:
            answer = await self._run(task)
        if answer.get("sent"):
            return Receipt(None, "")
        raise _explain(answer)

    async def _run(self, task: JsonObject) -> JsonObject:
        child = await asyncio.create_subprocess_exec(
            *_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_seconds + STARTUP_SECONDS):
                output, _ = await child.communicate(orjson.dumps(task))
            answer: JsonObject = orjson.loads(output)
        except TimeoutError:
            raise SendError("the service did not answer in time", permanent=False) from None
        except ValueError:
            raise SendError("the Apprise library failed", permanent=False) from None
        finally:
            if child.returncode is None:
                _kill(child.pid)
                await child.wait()
        return answer


def _kill(pid: int) -> None:
    """Kill the process and everything it started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _explain(answer: JsonObject) -> SendError:
    status = answer.get("status")
    if answer.get("blocked"):
        return NotContacted("the service's address is private, local or one of metadata: nothing was sent")
    if answer.get("timeout"):
        return SendError("the service did not answer in time", permanent=False)
    if isinstance(status, int):
        transient = is_transient(status)
        advice = "it may accept it later" if transient else "check the action's URL"
        return SendError(f"the service answered {status}: {advice}", permanent=not transient, status_code=status)
    return SendError("the service could not be reached, or did not accept it", permanent=False)
