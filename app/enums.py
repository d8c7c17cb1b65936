"""The product's closed vocabularies, with one line per member. Imports nothing of ours."""

from enum import StrEnum

OTHER_VALUE = "__other__"
"""The value of each field of the group that combines all groups beyond the first 500."""


class LogType(StrEnum):
    """What Twilio recorded."""

    CALL = "call"
    """A voice call or one leg of it."""
    MESSAGE = "message"
    """An SMS, MMS or channel message."""
    ERROR = "error"
    """An entry of the error log (Twilio Monitor, the Debugger)."""


class LogSource(StrEnum):
    """How a log was first received."""

    POLL = "poll"
    """Listed or read from Twilio's REST API."""
    CALLBACK = "callback"
    """Pushed by Twilio."""
    BACKFILL = "backfill"
    """Read again on request."""


class Coverage(StrEnum):
    """What is known of a span of a stream."""

    READ = "read"
    """Everything created in it was listed."""
    GAP = "gap"
    """It was not read, and Twilio no longer lists it."""
    NOT_YET = "not_yet"
    """It was not read so far."""


class Severity(StrEnum):
    """From least to most severe."""

    INFO = "info"
    """Worth knowing."""
    WARNING = "warning"
    """Worth checking today."""
    CRITICAL = "critical"
    """Worth waking someone."""

    @property
    def rank(self) -> int:
        """A higher rank is more severe."""
        return list(Severity).index(self)


def severity_rank(column: str) -> str:
    """Return SQL for the rank of the severity in a column."""
    return f"array_position(ARRAY[{', '.join(repr(each.value) for each in Severity)}], {column})"


class PatternType(StrEnum):
    """How a rule decides which logs of its population match."""

    ANY = "any"
    """Every log of the population."""
    ERROR_CODE = "error_code"
    """The log's code is listed."""
    STATUS = "status"
    """The log's status is listed."""
    KEYWORD = "keyword"
    """The text or the error message contains one of the words."""
    REGEX = "regex"
    """The RE2 pattern matches in the text or the error message."""
    EXPRESSION = "expression"
    """The CEL expression over the log is true."""


MEANING_FIELDS = ("log_type", "filters", "pattern_type", "pattern_value", "condition", "group_by", "schedule")
"""Fields that define what a rule does: editing one restarts it."""


class AlertStatus(StrEnum):
    """The state of an alert."""

    FIRING = "firing"
    """Open and not acknowledged."""
    ACKNOWLEDGED = "acknowledged"
    """Open and acknowledged."""
    RESOLVED = "resolved"
    """Over."""


class ResolveReason(StrEnum):
    """Why an alert was resolved."""

    CLEARED = "cleared"
    """The condition is false again."""
    QUIET = "quiet"
    """No new match for the rule's `resolve_after_minutes`."""
    INSUFFICIENT_DATA = "insufficient_data"
    """Too few logs to evaluate for two windows."""
    NEW_NORMAL = "new_normal"
    """A spike that lasted a day."""
    MANUAL = "manual"
    """A user resolved it."""
    RULE_CHANGED = "rule_changed"
    """The meaning of the rule was edited."""
    RULE_DISABLED = "rule_disabled"
    """The rule was disabled."""
    RULE_DELETED = "rule_deleted"
    """The rule was deleted."""


class NotificationType(StrEnum):
    """What a notification reports."""

    FIRING = "alert.firing"
    """An alert opened."""
    UPDATE = "alert.update"
    """An open alert has new occurrences."""
    RESOLVED = "alert.resolved"
    """An alert resolved."""
    DIGEST = "alert.digest"
    """Several notifications combined: too many at once, or one bundle."""
    REPORT = "report"
    """What a day or a week brought."""
    TEST = "action.test"
    """A user tests an action."""


class ActionType(StrEnum):
    """The kinds of actions."""

    EMAIL = "email"
    """Mail by SMTP, one delivery per recipient."""
    WEBHOOK = "webhook"
    """An HTTP request to the user's URL."""
    APPRISE = "apprise"
    """Any service that the Apprise library supports."""


class DeliveryStatus(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    """Not attempted yet, or waiting for the next attempt."""
    SUCCEEDED = "succeeded"
    """The receiver accepted it."""
    FAILED = "failed"
    """Given up: permanently refused, or out of retries."""
    FOLDED = "folded"
    """Sent within a digest, or waiting for one."""


class HoldReason(StrEnum):
    """What withholds an open alert, and holds a firing of it that waited in a bundle."""

    SILENCE = "silence"
    """It is silenced."""
    ACKNOWLEDGEMENT = "acknowledgement"
    """Somebody takes care of it."""
    DEPENDENCY = "dependency"
    """An open alert of a rule that its rule depends on explains it."""


class AttemptOutcome(StrEnum):
    """The result of an attempt."""

    STARTED = "started"
    """In progress; written before anything is sent."""
    SUCCEEDED = "succeeded"
    """The receiver accepted it."""
    RETRY = "retry"
    """Failed temporarily."""
    FAILED = "failed"
    """Failed permanently."""
    UNKNOWN = "unknown"
    """The worker died during the attempt: the receiver may or may not have got it."""


class Scope(StrEnum):
    """What an API key may do, from least to most; each includes the previous ones."""

    READ = "read"
    """View everything but keys, the audit and exports; preview rules."""
    WRITE = "write"
    """Change rules, alerts and silences, install rule packs, retry deliveries."""
    ADMIN = "admin"
    """Change actions, accounts and keys; read the audit; export and import."""

    def includes(self, other: "Scope") -> bool:
        """Return whether this scope grants what the other scope requires."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(other)
