"""Reads Twilio's responses to a request: records, errors, and how long to wait before a retry. Pure but for chance."""

import random
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from app.errors import TwilioError, TwilioRateLimited, TwilioRefused, TwilioUnavailable
from app.services.twilio.pages import prune_depth, repair_text
from app.services.twilio.transport import Answer
from app.utils import retry_after
from app.utils.digits import read_digits

FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0

T = TypeVar("T")


class AccountRecord(msgspec.Struct):
    """The fields of an account that are used. Its `auth_token` is a secret and never decoded."""

    sid: str
    friendly_name: Any = None
    """A text or None, as `status`."""
    status: Any = None

    def __post_init__(self) -> None:
        """Drop what is no text: one odd field must not cost the whole list of accounts."""
        for name in ("friendly_name", "status"):
            if not isinstance(getattr(self, name), str):
                setattr(self, name, None)


class _Problem(msgspec.Struct):
    """The field that is used of Twilio's JSON error."""

    code: Any = None


def parse_record(body: bytes) -> msgspec.Raw:
    """Check that a body is one JSON object."""
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        body = prune_depth(repair_text(body))
        try:
            msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            raise TwilioUnavailable("Twilio's answer is not the JSON of a record: it is read again") from None
    return msgspec.Raw(body)


def parse_account(record: msgspec.Raw) -> AccountRecord:
    return _parse(record, AccountRecord, "an account")


def parse_resource(record: msgspec.Raw | bytes) -> dict[str, Any]:
    """Read a configured resource in Twilio's form."""
    return _parse(record, dict[str, Any], "a resource")


def _parse(record: msgspec.Raw | bytes, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(prune_depth(repair_text(bytes(record))), type=shape)
    except (msgspec.DecodeError, RecursionError):
        raise TwilioUnavailable(f"Twilio's record of {what} cannot be read") from None


def retry_delay(error: TwilioError, attempt: int) -> float:
    """Return the delay before a retry: Twilio's Retry-After, or random exponential backoff."""
    if isinstance(error, TwilioRateLimited) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.random() * FIRST_WAIT_SECONDS  # noqa: S311  # no secret
    ceiling = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, ceiling)  # noqa: S311  # no secret


def error_of(answer: Answer, path: str, now: datetime) -> TwilioError:
    """Build the error for a status, with the request and Twilio's message."""
    status, code = answer.status_code, _code(answer.body)
    detail = f"HTTP {status}" + (f", code {code}" if code else "")
    if status == 429:
        return TwilioRateLimited(
            f"too many requests to {path} ({detail})",
            retry_after.parse_retry_after(answer.headers.get("retry-after"), now),
        )
    if status >= 500 or status < 400 or status == 408:
        return TwilioUnavailable(f"Twilio cannot answer {path} now ({detail})")
    return TwilioRefused(
        f"Twilio refused {path} ({detail}): check the account, its credentials and what they may read", status, code
    )


def _code(body: bytes) -> int | None:
    """Return the code of Twilio's JSON error; None if it has none."""
    try:
        return read_digits(str(msgspec.json.decode(body, type=_Problem).code))
    except (msgspec.DecodeError, RecursionError):
        return None
