"""The errors of services. A message says what was tried, on what, and what to do; it never contains a secret.

GiftPulseError
├── ConfigError            a setting is invalid
├── NotFound               no such resource
├── Conflict               the resource is in a state that forbids it
├── InvalidInput           a field of the request is invalid
├── LeaseLost              another worker took over, or the credentials changed
├── StatementTimeout       a statement ran out of its time
├── SignInFailed           what a person brought from the sign-in provider proves nothing
├── SignInUnavailable      the sign-in provider cannot be asked, or its answers cannot be used
└── TwilioError            a request to Twilio failed
    ├── TwilioUnavailable  it may work later: timeout, 5xx, an unreadable page
    │   └── TwilioTimeout  no complete response in time
    ├── TwilioRateLimited  too many concurrent requests
    └── TwilioRefused      the credentials or the account are refused
        └── NoCredentials  there are no credentials, so no request was sent
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from app.utils import validation_messages


class GiftPulseError(Exception):
    """The base class."""


class ConfigError(GiftPulseError):
    """A setting is invalid; the message names it and says what is expected."""


class NotFound(GiftPulseError):
    """No such resource."""


class Conflict(GiftPulseError):
    """The state of the resource forbids the request."""


@dataclass(frozen=True)
class FieldError:
    """An invalid field."""

    field: str
    """The path in the body, such as `condition.count`, or the name of a query parameter."""
    message: str
    """What is wrong and what is expected; never the value itself."""


class InvalidInput(GiftPulseError):
    """One or more fields of the request are invalid."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = list(errors)

    @classmethod
    def from_validation(cls, error: ValidationError, *prefix: str) -> "InvalidInput":
        """Convert Pydantic's error, without values. The whole body is the field `body`.

        Args:    prefix: the path of the validated object in the body.
        """
        details = error.errors(include_input=False, include_url=False)
        return cls(
            [
                FieldError(".".join(map(str, (*prefix, *item["loc"]))) or "body", validation_messages.sentence(item))
                for item in details
            ]
        )


class LeaseLost(GiftPulseError):
    """Another worker took over, or the credentials changed; uncommitted work is dropped."""


class StatementTimeout(GiftPulseError):
    """A statement ran out of the time that it was given."""


class SignInFailed(GiftPulseError):
    """What a person brought back from the sign-in provider proves nothing; the message says what the provider did."""


class SignInUnavailable(GiftPulseError):
    """The sign-in provider cannot be asked, or its answers cannot be used; the message says what it did."""


class TwilioError(GiftPulseError):
    """A request to Twilio failed."""

    reason = "error"
    """From a closed list: the label of `giftpulse_poll_errors_total`."""


class TwilioUnavailable(TwilioError):
    """A timeout, a 5xx, a closed connection or an unreadable response: it may work later."""

    reason = "unavailable"


class TwilioTimeout(TwilioUnavailable):
    """No complete response in time. Do not retry now; it may work in the next poll."""


class TwilioRateLimited(TwilioError):
    """HTTP 429: the request was not processed and may be repeated later."""

    reason = "rate_limited"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TwilioRefused(TwilioError):
    """HTTP 401, 403 or another 4xx: repeating the request will not help."""

    reason = "refused"

    def __init__(self, message: str, status_code: int, code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code


class NoCredentials(TwilioRefused):
    """There are no credentials, or `SECRET_KEY` does not decrypt them. No request was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 401)
