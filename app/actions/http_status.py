"""What the HTTP status of a receiver means for the next attempt. Pure."""

RETRIED_STATUSES = frozenset({408, 425, 429})
"""Client errors that may pass."""


def is_transient(status: int) -> bool:
    """Return whether a later attempt may succeed."""
    return status in RETRIED_STATUSES or not 300 <= status < 500
