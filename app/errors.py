"""Every error of the product. An error says what was tried, on what, and what to do; never a secret.

GiftPulseError
├── ConfigError            a setting cannot be used
├── NotFound               no such resource
├── Conflict               the resource is in a state that forbids it
├── InvalidInput           a field of the request cannot be used
├── LeaseLost              another worker took over what this one was doing
└── TwilioError            Twilio did not give what was asked for
    ├── TwilioUnavailable  it may work later: time-out, 5xx, a page that cannot be read
    │   └── TwilioSilent   no whole answer in time
    ├── TwilioRateLimited  too many requests at once
    └── TwilioRefused      the credential or the account is refused
        └── NoCredentials  there is nothing to ask with, so Twilio was not asked
"""

from collections.abc import Sequence
from dataclasses import dataclass


class GiftPulseError(Exception):
    """The root of the tree."""


class ConfigError(GiftPulseError):
    """A setting cannot be used; the message names it and says what is wanted."""


class NotFound(GiftPulseError):
    """No such resource."""


class Conflict(GiftPulseError):
    """The resource is in a state that forbids what was asked."""


@dataclass(frozen=True)
class FieldError:
    """One field that cannot be used."""

    field: str
    """The path in the body, such as `condition.count`, or the name of a query parameter."""
    message: str
    """What is wrong and what is wanted; never the value itself."""


class InvalidInput(GiftPulseError):
    """One or more fields of the request cannot be used."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = list(errors)


class LeaseLost(GiftPulseError):
    """Another worker took over what this one was doing; what is not committed is dropped."""


class TwilioError(GiftPulseError):
    """Twilio did not give what was asked for."""

    reason = "error"
    """A word of a closed list: the label of `giftpulse_poll_errors_total`."""


class TwilioUnavailable(TwilioError):
    """A time-out, a 5xx, a closed connection, or an answer that cannot be read: it may work later."""

    reason = "unavailable"


class TwilioSilent(TwilioUnavailable):
    """No whole answer in time: it was waited for long enough, and may work with the next poll."""


class TwilioRateLimited(TwilioError):
    """HTTP 429: the request was not processed, and may be sent again after a while."""

    reason = "rate_limited"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TwilioRefused(TwilioError):
    """HTTP 401, 403 or another 4xx: asking again in the same way will not help."""

    reason = "refused"

    def __init__(self, message: str, status_code: int, code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code


class NoCredentials(TwilioRefused):
    """No credentials are known, or `SECRET_KEY` does not open them. Twilio was not asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 401)
