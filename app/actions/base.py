"""What every kind of action shares: the notification, what is sent, and how a send ends. No database, no settings."""

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
    """How many were looked at."""
    capped: bool
    """There are more."""
    receivers: int
    senders: int
    """Different numbers or addresses."""
    countries: Sequence[str] = ()
    """Codes of the receivers' countries, the commonest first."""
    accounts: Sequence[str] = ()
    """Sids, the commonest first."""


@dataclass(frozen=True)
class Notification:
    """A snapshot of what is told: values ready for JSON, under the names of the API."""

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
    """`PUBLIC_BASE_URL`: where people reach this server, without a slash at the end."""
    advice: str = ""
    """What to do about the alert's error code, as the catalogue has it; empty where it has no code."""
    advice_fits_one: bool = False
    """That advice is about a single number."""
    spread: Spread | None = None
    """Null where the alert has no logs."""
    account_names: Mapping[str, str] = field(default_factory=dict)
    """The names of the accounts concerned, by sid."""
    told_next: Sequence[tuple[str, str]] = ()
    """Who is told if nobody acknowledges the alert: names of actions and times, the soonest first."""
    timezone: str = "UTC"
    """Where people read it: local times stand beside UTC."""
    digest: JsonObject | None = None
    """What a digest tells: how many notifications it stands for, since when, and of which alerts; else null."""
    report: JsonObject | None = None
    """What a report tells, as `GET /api/report` shows it; else null."""


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
    """Build the JSON of an alert: the API's, that of a test and that of a digest have the same fields.

    `price_unit` is there only where prices came in several currencies.
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
    """One delivery, ready to be sent: the same on every attempt."""

    delivery_id: str
    """The `webhook-id`, and the base of the mail's Message-ID."""
    alert_id: str | None
    """Threads the mails of one alert; null for a test."""
    type: NotificationType
    recipient: str
    """One mail address, or the URL of a webhook without its userinfo and query."""
    content: Mapping[str, str]
    """What `render` made when the delivery was created: its names belong to the kind."""
    created_at: datetime
    """The `Date` of a mail."""


@dataclass(frozen=True)
class Receipt:
    """The receiver took it."""

    status_code: int | None
    """HTTP status or SMTP reply code."""
    response: str
    """The first 1 KiB of the answer, as text without NUL."""


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
        """True: no retry can help."""
        self.status_code = status_code
        self.response = response
        self.retry_after_seconds = retry_after_seconds
        """What the receiver asked for by `Retry-After`, at most 3600; null if it asked for nothing readable."""
        self.disables_action = disables_action
        """True for HTTP 410: the receiver is gone and the action with it."""
        self.may_have_arrived = may_have_arrived
        """False if nothing was sent: no connection could be opened."""


@dataclass(frozen=True)
class Rendered:
    """What `render` made of a notification, and what it had to do without."""

    content: Mapping[str, str]
    warning: str | None = field(default=None)
    """Why the built-in text was used in place of the user's template, to be told in the attempt."""


class Sender(Protocol):
    """What sends while its connections are open."""

    async def send(self, config: JsonObject, envelope: Envelope) -> Receipt:
        """Make one attempt.

        Raises: SendError, and nothing else, whatever the receiver does.
        """


class ActionKind(Protocol):
    """One kind of action."""

    @property
    def longest_attempt_seconds(self) -> float:
        """No attempt takes longer, whatever the receiver does."""

    def check(self, config: JsonObject) -> JsonObject:
        """Return the config with its defaults filled in; raise InvalidInput with fields such as `config.url`."""

    def mask(self, config: JsonObject) -> JsonObject:
        """Return the config with its secrets masked, as the API shows it."""

    def unmask(self, config: JsonObject, stored: JsonObject) -> JsonObject:
        """Put stored secrets where a masked value was sent back, and where they were left out."""

    def carry_over(self, config: JsonObject, stored: JsonObject, now: datetime) -> JsonObject:
        """Keep what outlives an edit: an old secret signs on for a while. `config` has been checked."""

    def recipients(self, config: JsonObject) -> list[str]:
        """List the receivers: one delivery is made for each."""

    def takes_digests(self, config: JsonObject) -> bool:
        """Return whether a digest may stand for notifications that come too fast."""

    def no_reports(self, config: JsonObject) -> str | None:
        """Return why reports cannot go there; None where they can."""

    def render(self, config: JsonObject, notification: Notification) -> Rendered:
        """Make what will be sent; fall back to the built-in text rather than fail."""

    def connected(self) -> AbstractAsyncContextManager[Sender]:
        """Open what sends: deliveries that go out together share its connections."""
