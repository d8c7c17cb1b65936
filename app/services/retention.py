"""Deletes data older than its retention."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, text

from app.config import Settings
from app.database import session_scope
from app.enums import DeliveryStatus
from app.models import AuditEntry, Delivery, IdempotentAnswer, Match, QuarantinedRecord, SignOut
from app.services import console_sessions, lags, people
from app.services.evaluation import group_slots, known_values, minute_counts, rule_set
from app.services.ingest import budget, callbacks, quarantine
from app.services.logs import partitions, tallies
from app.utils.crashpoints import crashpoint
from app.utils.db_retry import retry_on_conflict

ALERTS_KEPT = timedelta(days=400)
"""Also applies to the audit."""
MATCHES_KEPT = timedelta(days=33)
"""Kept at least this long, even if their logs are deleted: the longest window of a rule is 31 days."""
ANSWERS_KEPT = timedelta(hours=24)
SIGN_OUTS_KEPT = timedelta(days=31)
"""Longer than the lifetime of a session."""
TRIM_BATCH = 5_000


def clean(settings: Settings, now: datetime) -> None:
    """Drop expired months of logs, trim the oldest remaining month, and create the partitions of the next month.

    Alerts and their deliveries are kept for more than a year.
    """
    _drop_logs(now - timedelta(days=settings.retention_days), now)
    retry_on_conflict(partial(_expire_counts, now))
    with session_scope() as session:
        group_slots.clear_capped(session)
    _expire_records(now)


def _drop_logs(cutoff: datetime, now: datetime) -> None:
    with session_scope() as session:
        month = partitions.month_of(now)
        partitions.ensure(session, [month, partitions.next_month(month)])
        dropped = partitions.drop_before(session, cutoff)
        tallies.delete_before(session, cutoff)
        if dropped:
            needed = Match.changed_at >= now - MATCHES_KEPT
            session.execute(delete(Match).where(Match.occurred_at < cutoff, ~needed))
            session.execute(delete(QuarantinedRecord).where(QuarantinedRecord.seen_at < cutoff))
        crashpoint("retention.before_commit")
    crashpoint("retention.after_commit")
    while True:
        with session_scope() as session:
            if partitions.trim_before(session, cutoff, TRIM_BATCH) < TRIM_BATCH:
                break


def _expire_counts(now: datetime) -> None:
    """Delete what rules no longer need: counts, group slots and known values."""
    with session_scope() as session:
        # One snapshot: what a rule has that was created meanwhile would look like that of a deleted one.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        rules = rule_set.read_rule_set(session).rules.values()
        minute_counts.delete_expired(session, [rule for rule in rules if minute_counts.has_counts(rule)], now)
        group_slots.expire_slots(session, [rule for rule in rules if rule.group_by], now)
        known_values.delete_expired(session, [rule for rule in rules if rule.condition.watched_field], now)


def _expire_records(now: datetime) -> None:
    with session_scope() as session:
        budget.delete_expired(session, now)
        callbacks.delete_expired(session, now)
        quarantine.trim(session)
        session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < now - ANSWERS_KEPT))
        console_sessions.delete_expired(session, now)
        people.delete_absent(session, now)
        lags.delete_expired(session, now)
        session.execute(delete(SignOut).where(SignOut.at < now - SIGN_OUTS_KEPT))
        session.execute(delete(AuditEntry).where(AuditEntry.at < now - ALERTS_KEPT))
        ended = Delivery.status != DeliveryStatus.PENDING
        session.execute(delete(Delivery).where(ended, Delivery.created_at < now - ALERTS_KEPT))
        session.execute(
            text("DELETE FROM alerts WHERE status = 'resolved' AND resolved_at < :cutoff"),
            {"cutoff": now - ALERTS_KEPT},
        )
