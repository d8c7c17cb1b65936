"""Which headers a user may add to a webhook. Pure."""

import re
from collections.abc import Mapping

MOST_HEADERS = 20
LONGEST_VALUE = 4096
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
VALUE = re.compile(r"[\x20-\x7e]*\Z")
RESERVED = frozenset(
    {
        "accept-encoding", "connection", "date", "expect", "forwarded", "host", "http2-settings", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip
"""Headers that say how the request travels or who sends it."""
RESERVED_PREFIXES = (
    "content-", "webhook-", "proxy-", "sec-", "x-forwarded-", "x-amz-", "x-aws-", "x-goog-", "x-google-",
    "x-envoy-", "x-ms-", "metadata",
)  # fmt: skip
"""What signs the webhook, and what clouds and proxies take for an order of their own."""


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers that a user adds; return what is wrong with each, by name.

    Returns: empty where all can be sent; messages repeat no value.
    """
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not NAME.match(name):
            wrong[""] = "must have names of letters, digits and hyphens"
        elif lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
            wrong[name] = "is set by GiftPulse, or has a meaning to servers on the way"
        elif lower in seen:
            wrong[name] = "is given twice"
        elif len(value) > LONGEST_VALUE or not VALUE.match(value) or value != value.strip():
            wrong[name] = f"must be printable ASCII of at most {LONGEST_VALUE} characters, without space around it"
        seen.add(lower)
    if len(headers) > MOST_HEADERS:
        wrong[""] = f"must be at most {MOST_HEADERS}"
    return wrong
