"""The base of all kinds of action: notifications, envelopes and the outcome of a send. No database, no settings."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.enums import NotificationType
from app.utils.json_types import JsonObject


@dataclass(frozen=True)
class Spread:
    """How far an alert reaches, by its newest logs."""

    logs: int
    """How many were read."""
    capped: bool
    """There are more."""
    recipients: int
    senders: int
    """Number of different numbers or addresses."""
    countries: Sequence[str] = ()
    """The recipients' country codes, the most frequent first."""
    accounts: Sequence[str] = ()
    """SIDs, the most frequent first."""
    codes: Sequence[tuple[int, int]] = ()
    """Error codes with the number of their logs, the most frequent first."""


@dataclass(frozen=True)
class Notification:
    """A snapshot of what is sent: values ready for JSON, with the names of the API."""

    type: NotificationType
    timestamp: datetime
    """When it happened (aware, UTC), not when it is sent."""
    alert: JsonObject
    """The alert as `GET /api/alerts/{id}` shows it, without its deliveries."""
    rule: JsonObject | None
    """The rule as the API shows it; null for a built-in alert."""
    logs: Sequence[JsonObject]
    """Some of the logs that count towards the alert, newest first; at most 10."""
    base_url: str
    """`PUBLIC_BASE_URL`, without a slash at the end."""
    advice: str = ""
    """The catalogue's advice for the alert's error code; empty without a code."""
    advice_fits_one: bool = False
    """The advice is about a single number."""
    condition_advice: str = ""
    """The advice for alerts of the rule's condition; empty if there is none."""
    condition_facts: Sequence[tuple[str, str]] = ()
    """What the rule's condition measured, as labels and texts."""
    spread: Spread | None = None
    """Null if the alert has no logs."""
    account_names: Mapping[str, str] = field(default_factory=dict)
    """The names of the accounts concerned, by sid."""
    escalates_to: Sequence[tuple[str, str]] = ()
    """The actions that are notified if nobody acknowledges the alert, and when; the soonest first."""
    escalated_after_minutes: int = 0
    """How long nobody acknowledged the alert, if that is why it is sent; else 0."""
    timezone: str = "UTC"
    """The time zone of the readers: local times follow those in UTC."""
    digest: JsonObject | None = None
    """For a digest: how many notifications it contains, since when, and their alerts; else null."""
    report: JsonObject | None = None
    """For a report: its figures, as `GET /api/report` shows them; else null."""


def make_alert(
    *,
    id: str | None,  # noqa: A002 - the names are those of the API
    rule_name: str,
    severity: str,
    summary: str,
    started_at: str,
    last_match_at: str,
    occurrences: int,
    rule_id: str | None = None,
    status: str = "firing",
    group: JsonObject | None = None,
    resolved_at: str | None = None,
    acknowledged_at: str | None = None,
    acknowledged_by: str | None = None,
    acknowledged_until: str | None = None,
    note: str | None = None,
    silenced: bool = False,
    suppressed_by: str | None = None,
    value: float | None = None,
    price_unit: str | None = None,
    sample_sids: Sequence[str] = (),
    late: bool = False,
    left_out_accounts: Sequence[str] = (),
    resolve_reason: str | None = None,
    error: JsonObject | None = None,
) -> JsonObject:
    """Build the JSON of an alert, with the same fields for the API, tests and digests.

    `price_unit` is included only if there are several currencies.
    """
    return {
        "id": id,
        "rule_id": rule_id,
        "rule_name": rule_name,
        "severity": severity,
        "status": status,
        "group": group or {},
        "summary": summary,
        "started_at": started_at,
        "last_match_at": last_match_at,
        "resolved_at": resolved_at,
        "acknowledged_at": acknowledged_at,
        "acknowledged_by": acknowledged_by,
        "acknowledged_until": acknowledged_until,
        "note": note,
        "silenced": silenced,
        "suppressed_by": suppressed_by,
        "occurrences": occurrences,
        "value": value,
        **({} if price_unit is None else {"price_unit": price_unit}),
        "sample_sids": list(sample_sids),
        "late": late,
        "left_out_accounts": list(left_out_accounts),
        "resolve_reason": resolve_reason,
        "error": error,
    }


@dataclass(frozen=True)
class Envelope:
    """One delivery, ready to send: the same on every attempt."""

    delivery_id: str
    """The `webhook-id`, and the base of the mail's Message-ID."""
    alert_id: str | None
    """Threads the mails of one alert; null for a test."""
    type: NotificationType
    recipient: str
    """One email address, or the URL of a webhook without its userinfo and query."""
    content: Mapping[str, str]
    """The result of `render` when the delivery was created; its names depend on the kind."""
    created_at: datetime
    """The `Date` of a mail."""


@dataclass(frozen=True)
class Receipt:
    """The receiver accepted it."""

    status_code: int | None
    """HTTP status or SMTP reply code."""
    response: str
    """The first 1 KiB of the response, as text without NUL."""


class SendError(Exception):
    """One attempt failed. The message is one clear sentence, without secrets, query strings or bodies."""

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        status_code: int | None = None,
        response: str = "",
        retry_after_seconds: float | None = None,
        disables_action: bool = False,
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        """True if no retry can help."""
        self.status_code = status_code
        self.response = response
        self.retry_after_seconds = retry_after_seconds
        """From `Retry-After`, at most 3600; null if it is missing or unreadable."""
        self.disables_action = disables_action
        """True for HTTP 410: the receiver is gone, so the action is disabled."""
        self.may_have_arrived = may_have_arrived
        """False if nothing was sent because no connection could be opened."""


class NotContacted(SendError):
    """It failed on our side before the receiver was contacted: no retry can help, and the receiver may be well."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True, may_have_arrived=False)


@dataclass(frozen=True)
class Rendered:
    """A rendered notification, and a warning."""

    content: Mapping[str, str]
    warning: str | None = field(default=None)
    """Why the built-in text replaced the user's template; shown with the attempt."""


class Sender(Protocol):
    """Sends deliveries while its connections are open."""

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Make one attempt.

        Raises: SendError, and nothing else, for anything that the receiver does.
        """


class ActionKind(Protocol):
    """One kind of action."""

    @property
    def longest_attempt_seconds(self) -> float:
        """The upper limit of an attempt's duration."""

    def check(self, config: JsonObject) -> JsonObject:
        """Return the config with defaults; raise InvalidInput with fields such as `config.url`."""

    def mask(self, config: JsonObject) -> JsonObject:
        """Return the config with its secrets masked, as the API shows it."""

    def unmask(self, config: JsonObject, stored: JsonObject) -> JsonObject:
        """Replace masked and omitted secrets by the stored ones."""

    def carry_over(self, config: JsonObject, stored: JsonObject, now: datetime) -> JsonObject:
        """Keep parts of the old config: a replaced secret still signs for a while. `config` is validated."""

    def recipients(self, config: JsonObject) -> list[str]:
        """List the recipients. Each gets its own delivery."""

    def takes_digests(self, config: JsonObject) -> bool:
        """Return whether a digest may replace several notifications."""

    def no_reports(self, config: JsonObject) -> str | None:
        """Return why it cannot get reports, or None."""

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Render what is sent. If the user's template fails, use the built-in text."""

    def connected(self) -> AbstractAsyncContextManager[Sender]:
        """Open a sender. Deliveries that are sent together share its connections."""
