"""The headers that a user may add to a webhook. Pure."""

import re
from collections.abc import Mapping

MAX_HEADERS = 20
MAX_VALUE_LENGTH = 4096
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
VALUE = re.compile(r"[\x20-\x7e]*\Z")
RESERVED = frozenset(
    {
        "accept-encoding", "connection", "date", "expect", "forwarded", "host", "http2-settings", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip
"""Headers about the transport or the sender of the request."""
RESERVED_PREFIXES = (
    "content-", "webhook-", "proxy-", "sec-", "x-forwarded-", "x-amz-", "x-aws-", "x-goog-", "x-google-",
    "x-envoy-", "x-ms-", "metadata",
)  # fmt: skip
"""Headers of the signature, and those that clouds and proxies act on."""


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Validate a user's headers; return what is wrong with each, by name.

    Returns: empty if all are valid. Messages repeat no value.
    """
    errors: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not NAME.match(name):
            errors[""] = "must have names of letters, digits and hyphens"
        elif lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
            errors[name] = "is set by GiftPulse, or has a meaning to servers on the way"
        elif lower in seen:
            errors[name] = "is given twice"
        elif len(value) > MAX_VALUE_LENGTH or not VALUE.match(value) or value != value.strip():
            errors[name] = f"must be printable ASCII of at most {MAX_VALUE_LENGTH} characters, without space around it"
        seen.add(lower)
    if len(headers) > MAX_HEADERS:
        errors[""] = f"must be at most {MAX_HEADERS}"
    return errors
