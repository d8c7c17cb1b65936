"""Twilio's statuses: their order within one log, and which of them end it. Pure."""

from app.enums import LogType

# Source: Twilio's documentation of message and call statuses. A status that is not listed has the lowest rank
# and ends nothing: Twilio adds new ones.
MESSAGE_RANKS = {
    "accepted": 1,
    "scheduled": 1,
    "receiving": 1,
    "queued": 2,
    "sending": 3,
    "sent": 4,
    "partially_delivered": 5,
    "delivered": 5,
    "undelivered": 5,
    "failed": 5,
    "canceled": 5,
    "received": 5,
    "read": 6,
}
CALL_RANKS = {
    "queued": 1,
    "initiated": 1,
    "ringing": 2,
    "in-progress": 3,
    "completed": 4,
    "busy": 4,
    "failed": 4,
    "no-answer": 4,
    "canceled": 4,
}
FINAL_MESSAGES = frozenset({"delivered", "read", "undelivered", "failed", "canceled", "received"})
FINAL_CALLS = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


def status_rank(log_type: str, status: str | None) -> int:
    """Return how far along its life a log of this status is: 0 (unknown) to 6."""
    ranks = MESSAGE_RANKS if log_type == LogType.MESSAGE else CALL_RANKS
    return ranks.get(status or "", 0)


def is_final(log_type: str, status: str | None) -> bool:
    """Say whether a log of this status cannot fail any more, nor go on."""
    if log_type == LogType.ERROR:
        return True
    return status in (FINAL_MESSAGES if log_type == LogType.MESSAGE else FINAL_CALLS)
