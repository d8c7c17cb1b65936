"""The product's closed vocabularies: one line of meaning per member. Imports nothing of ours."""

from enum import StrEnum


class LogType(StrEnum):
    """What Twilio recorded."""

    CALL = "call"
    """A voice call or one leg of it."""
    MESSAGE = "message"
    """An SMS, MMS or channel message."""
    ERROR = "error"
    """An entry of the error log (Twilio Monitor, the Debugger)."""


class LogSource(StrEnum):
    """The way by which a log first came to us."""

    POLL = "poll"
    """Listed or read from Twilio's REST API."""
    CALLBACK = "callback"
    """Pushed by Twilio."""
    BACKFILL = "backfill"
    """Read again on request."""


class Severity(StrEnum):
    """How bad it is, from least to worst."""

    INFO = "info"
    """Worth knowing."""
    WARNING = "warning"
    """Worth a look today."""
    CRITICAL = "critical"
    """Worth waking somebody."""

    @property
    def rank(self) -> int:
        """Order of severities: a higher rank is worse."""
        return list(Severity).index(self)


class PatternType(StrEnum):
    """How a rule decides which logs of its population match."""

    ANY = "any"
    """Every log of the population."""
    ERROR_CODE = "error_code"
    """The log's code is listed."""
    STATUS = "status"
    """The log's status is listed."""
    KEYWORD = "keyword"
    """One of the words stands in the text or the error message."""
    REGEX = "regex"
    """The RE2 pattern is found in the text or the error message."""
    EXPRESSION = "expression"
    """The CEL expression over the log is true."""


class AlertStatus(StrEnum):
    """Where an alert stands."""

    FIRING = "firing"
    """Open, and nobody has taken it."""
    ACKNOWLEDGED = "acknowledged"
    """Open, and somebody has taken it."""
    RESOLVED = "resolved"
    """Over."""


class ResolveReason(StrEnum):
    """Why an alert ended."""

    CLEARED = "cleared"
    """The condition is false again."""
    QUIET = "quiet"
    """No new match for the rule's `resolve_after_minutes`."""
    INSUFFICIENT_DATA = "insufficient_data"
    """Too few logs to judge for two windows."""
    NEW_NORMAL = "new_normal"
    """A spike that lasted a day."""
    MANUAL = "manual"
    """A person resolved it."""
    RULE_CHANGED = "rule_changed"
    """The meaning of the rule was edited."""
    RULE_DISABLED = "rule_disabled"
    """The rule was disabled."""
    RULE_DELETED = "rule_deleted"
    """The rule was deleted."""


class NotificationType(StrEnum):
    """What a notification tells."""

    FIRING = "alert.firing"
    """An alert opened."""
    UPDATE = "alert.update"
    """An open alert has new occurrences."""
    RESOLVED = "alert.resolved"
    """An alert ended."""
    DIGEST = "alert.digest"
    """Several notifications that came too fast, told in one."""
    TEST = "action.test"
    """Somebody tries an action."""


class ActionType(StrEnum):
    """The kinds of actions."""

    EMAIL = "email"
    """Mail by SMTP, one delivery per recipient."""
    WEBHOOK = "webhook"
    """An HTTP request to the user's URL."""
    APPRISE = "apprise"
    """Any service that the Apprise library knows."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    """Owed: not yet attempted, or waiting for its next attempt."""
    SUCCEEDED = "succeeded"
    """The receiver took it."""
    FAILED = "failed"
    """Given up: refused for good, or out of retries."""
    FOLDED = "folded"
    """Told within a digest."""


class AttemptOutcome(StrEnum):
    """How one try of a delivery ended."""

    STARTED = "started"
    """Begun and not yet finished; written before anything is sent."""
    SUCCEEDED = "succeeded"
    """The receiver took it."""
    RETRY = "retry"
    """Failed in a way that may pass."""
    FAILED = "failed"
    """Failed for good."""
    UNKNOWN = "unknown"
    """The worker died between start and end: it may or may not have been received."""


class Scope(StrEnum):
    """What a key of the API may do, from least to most; each includes the ones before."""

    READ = "read"
    """Look at everything but keys, the audit and exports; preview rules."""
    WRITE = "write"
    """Change rules, alerts and silences, install rule packs, retry deliveries."""
    ADMIN = "admin"
    """Change actions, accounts and keys; read the audit; export and import."""

    def includes(self, other: "Scope") -> bool:
        """Say whether a key of this scope may do what the other scope is needed for."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(other)
