"""How far the streams are complete. Resolving alerts and judging minutes wait for this."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import PatternType
from app.services.rules.rule import Rule

UNREADABLE_AFTER = timedelta(hours=1)
"""An account that could not be read for this long no longer delays resolves."""


@dataclass(frozen=True)
class StreamState:
    """How far one stream is complete and evaluated."""

    account_sid: str
    log_type: str
    complete_from: datetime | None
    complete_until: datetime | None
    account_name: str | None
    added_at: datetime
    """When its account was added."""
    last_error: str | None
    """Why it cannot be read; None if it can."""


@dataclass(frozen=True)
class Completeness:
    """How far each relevant stream is complete."""

    streams: Sequence[StreamState]
    """The enabled, available streams of readable accounts."""
    left_out_accounts: frozenset[str]
    """Accounts that could not be read for an hour, or never yet. Nothing waits for them."""
    retention: timedelta
    """Logs older than this are deleted, so a rule cannot warm up from them."""

    def streams_of(self, rule: Rule) -> list[StreamState]:
        """List the streams whose logs decide about a rule."""
        wanted = {rule.log_type} if rule.log_type != "any" else {"call", "message", "error"}
        if "call" in wanted and _depends_on_code(rule):
            wanted.add("error")
        accounts = rule.filters.get("account_sid")
        return [
            stream
            for stream in self.streams
            if stream.log_type in wanted and (accounts is None or stream.account_sid in accounts)
        ]

    def left_out_accounts_of(self, rule: Rule) -> list[str]:
        """List the accounts in the rule's population that could not be read for an hour, or never yet."""
        accounts = rule.filters.get("account_sid")
        return sorted(sid for sid in self.left_out_accounts if accounts is None or sid in accounts)

    def horizon(self, rule: Rule) -> datetime | None:
        """Return the time up to which the rule's streams are complete and evaluated; None if unknown."""
        until = [stream.complete_until for stream in self.streams_of(rule)]
        known = [at for at in until if at is not None]
        return min(known) if known and len(known) == len(until) else None

    def known_from(self, rule: Rule) -> datetime | None:
        """Return the time from which the rule's streams are completely read; None if unknown."""
        since = [stream.complete_from for stream in self.streams_of(rule)]
        known = [at for at in since if at is not None]
        return max(*known, rule.started_at - self.retention) if known and len(known) == len(since) else None


def _depends_on_code(rule: Rule) -> bool:
    """Return whether the rule depends on the codes of calls, which come from the error log."""
    if rule.pattern_type not in (PatternType.ANY, PatternType.STATUS):
        return True
    return "error_code" in (*rule.group_by, rule.condition.watched_field)


def load_completeness(session: Session, settings: Settings, now: datetime) -> Completeness:
    """Read how far the streams are complete, without accounts that could not be read for an hour.

    An account that was never read, perhaps because of a wrong token, is left out until its first read: no alert depends
    on its logs, and the other accounts do not wait for it. While none was ever read, each is kept for its
    first hour.
    """
    rows = session.execute(
        text(
            "SELECT accounts.sid, streams.log_type, streams.complete_from, done.complete_until,"
            " accounts.friendly_name, accounts.started_at, streams.last_error,"
            " coalesce(streams.last_success_at, accounts.started_at) < :lost,"
            " bool_and(streams.last_success_at IS NULL) OVER (PARTITION BY accounts.id) AND"
            " NOT bool_and(streams.last_success_at IS NULL) OVER ()"
            " FROM streams JOIN accounts ON accounts.id = streams.account_id"
            " JOIN stream_evaluations AS done ON done.stream_id = streams.id"
            " WHERE accounts.enabled AND NOT streams.unavailable"
        ),
        {"lost": now - UNREADABLE_AFTER},
    ).all()
    left_out = frozenset(row[0] for row in rows if row[7] or row[8])
    states = [StreamState(*row[:7]) for row in rows if row[0] not in left_out]
    return Completeness(states, left_out, timedelta(days=settings.retention_days))
