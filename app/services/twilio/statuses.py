"""Twilio's statuses: their order within a log, and which are final. Pure."""

from app.enums import LogType

# Source: Twilio's documentation of message and call statuses. Unknown statuses rank lowest and are not final: Twilio
# adds new ones.
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
    """Return how far a status is in the life of a log: 0 (unknown) to 6."""
    ranks = MESSAGE_RANKS if log_type == LogType.MESSAGE else CALL_RANKS
    return ranks.get(status or "", 0)


def is_final(log_type: str, status: str | None) -> bool:
    """Return whether a status is terminal."""
    if log_type == LogType.ERROR:
        return True
    return status in (FINAL_MESSAGES if log_type == LogType.MESSAGE else FINAL_CALLS)
