"""Mail: one delivery per recipient, in text and HTML, through the operator's mail server."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from pydantic import Field

from app.actions import mail_text
from app.actions.base import Notification, Rendered, Sender
from app.actions.fields import ConfigModel, parse, refuse, try_template
from app.actions.formats import template_values
from app.actions.smtp import ATTEMPT_SECONDS, SmtpSender
from app.actions.templates import EmptyResult, UnusableTemplate, render_text
from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.utils.json_types import JsonObject
from app.utils.mail_addresses import check_address, read_sender

MAX_RECIPIENTS = 50
MAX_SUBJECT_LENGTH = 1000
"""Before it is truncated to the limit of a subject."""


class EmailConfig(ConfigModel):
    """The config as a user writes it."""

    recipients: list[str] = Field(min_length=1, max_length=MAX_RECIPIENTS)
    subject: str | None = Field(None, min_length=1)
    template: str = mail_text.BUILT_IN


class Email:
    """The kind `email`."""

    longest_attempt_seconds = ATTEMPT_SECONDS

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def check(self, config: JsonObject) -> JsonObject:
        """Return the config with its defaults filled in.

        Raises: InvalidInput.
        """
        parsed = parse(EmailConfig, config)
        recipients, invalid = [], []
        for index, text in enumerate(parsed.recipients):
            try:
                recipients.append(check_address(text))
            except ValueError as error:
                invalid.append(FieldError(f"config.recipients.{index}", str(error)))
        if invalid:
            raise InvalidInput(invalid)
        if not mail_text.exists(parsed.template):
            raise refuse("template", f"must be one of {', '.join(mail_text.names())}")
        checked: JsonObject = {"recipients": recipients, "template": parsed.template}
        if parsed.subject is None:
            return checked
        try_template("subject", partial(_subject, parsed.subject))
        return checked | {"subject": parsed.subject}

    def mask(self, config: JsonObject) -> JsonObject:
        """Nothing in it is secret."""
        return config

    def unmask(self, config: JsonObject, stored: JsonObject) -> JsonObject:
        """Nothing in it is secret."""
        return config

    def carry_over(self, config: JsonObject, stored: JsonObject, now: datetime) -> JsonObject:
        """Nothing is kept after an edit."""
        return config

    def recipients(self, config: JsonObject) -> list[str]:
        """List the addresses, each once."""
        return list({address.lower(): address for address in reversed(config["recipients"])}.values())[::-1]

    def takes_digests(self, config: JsonObject) -> bool:
        """Digests are supported."""
        return True

    def no_reports(self, config: JsonObject) -> str | None:
        """Reports are supported."""
        return None

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Render the mail that every attempt sends."""
        parts, warning = mail_text.write(config["template"], notification)
        warnings = [warning] if warning else []
        if "subject" in config and notification.report is None:
            try:
                parts["subject"] = _subject(config["subject"], notification)
            except UnusableTemplate as error:
                warnings.append(f"config.subject failed ({error}); the built-in subject was used")
        return Rendered(parts | {"domain": self._domain(notification)}, "; ".join(warnings) or None)

    def _domain(self, notification: Notification) -> str:
        """Return the domain for Message-IDs: the sender's, else this server's."""
        try:
            return read_sender(self._settings().smtp_from or "").domain
        except ValueError:
            return urlsplit(notification.base_url).hostname or "localhost"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Sender]:
        """Open a sender for the mail server, with its connections."""
        sender = SmtpSender(self._settings())
        try:
            yield sender
        finally:
            await sender.close()


def _subject(source: str, notification: Notification) -> str:
    """Render the user's subject.

    Raises: UnusableTemplate.
    """
    subject = mail_text.one_line(render_text(source, template_values(notification), MAX_SUBJECT_LENGTH))
    if not subject.strip():
        raise EmptyResult("makes an empty subject")
    return subject
