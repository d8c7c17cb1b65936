"""Quarantines malformed records with the reason, and counts them for health and alerts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from app import metrics
from app.enums import LogType
from app.models import Account, QuarantinedRecord
from app.services.ingest.context import IngestContext
from app.services.ingest.decoding import content_hash

MAX_KEPT_BYTES = 16 * 1024
MAX_REASON_LENGTH = 500
MAX_QUARANTINED = 1_000
"""Of malformed records, the latest are kept for each account and log type: every poll may find new ones."""
MAX_TOLERATED = 10
TOLERATED_WITHIN = timedelta(hours=1)
"""A few quarantined records within this time are exceptions. More mean that Twilio has changed or that we are wrong."""

MalformedRecords = list[tuple[msgspec.Raw, str]]
"""Malformed records, with the reason."""

log = structlog.get_logger()


def quarantine(session: Session, context: IngestContext, malformed: MalformedRecords, now: datetime) -> None:
    """Store malformed records with the reason; without their text if bodies are not stored."""
    keep_text = context.log_type != LogType.MESSAGE or context.settings.store_message_bodies
    rows = {}
    for record, reason in malformed:
        hashed = content_hash(record)
        text = bytes(record)[:MAX_KEPT_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd") if keep_text else ""
        rows[hashed] = {
            "account_id": context.account_id,
            "log_type": context.log_type.value,
            "content_hash": hashed,
            "reason": reason[:MAX_REASON_LENGTH].replace("\0", "\ufffd"),
            "record": text,
            "first_seen_at": now,
            "seen_at": now,
        }
    statement = insert(QuarantinedRecord).values(list(rows.values()))
    seen = session.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "log_type", "content_hash"], set_={"seen_at": statement.excluded.seen_at}
        ).returning(QuarantinedRecord.first_seen_at)
    )
    new = sum(first_seen_at == now for first_seen_at in seen.scalars())
    if new:
        log.warning("malformed records were quarantined", log_type=context.log_type.value, count=new)
        metrics.count(session, {metrics.LOGS_MALFORMED.key(log_type=context.log_type.value): float(new)})


@dataclass(frozen=True)
class QuarantineCount:
    """Newly quarantined records of an account."""

    account_sid: str
    account: str
    """Its name, or else its SID."""
    count: int
    since: datetime
    reason: str
    """The latest reason."""


def count_since(session: Session, since: datetime) -> list[QuarantineCount]:
    """Count the records that were first quarantined since then, by enabled account."""
    reason = func.array_agg(aggregate_order_by(QuarantinedRecord.reason, QuarantinedRecord.first_seen_at.desc()))
    name = func.coalesce(Account.friendly_name, Account.sid)
    query = select(Account.sid, name, func.count(), func.min(QuarantinedRecord.first_seen_at), reason[1])
    query = query.join(Account, Account.id == QuarantinedRecord.account_id)
    recent = (QuarantinedRecord.seen_at >= since, QuarantinedRecord.first_seen_at >= since)
    rows = session.execute(query.where(Account.enabled, *recent).group_by(Account.id).order_by(Account.sid))
    return [QuarantineCount(*row) for row in rows]


def trim(session: Session) -> None:
    """Delete malformed records beyond the maximum."""
    key = (QuarantinedRecord.account_id, QuarantinedRecord.log_type)
    number = func.row_number().over(partition_by=key, order_by=QuarantinedRecord.seen_at.desc())
    numbered = select(*key, QuarantinedRecord.content_hash, number.label("number")).subquery()
    session.execute(
        delete(QuarantinedRecord).where(
            QuarantinedRecord.account_id == numbered.c.account_id,
            QuarantinedRecord.log_type == numbered.c.log_type,
            QuarantinedRecord.content_hash == numbered.c.content_hash,
            numbered.c.number > MAX_QUARANTINED,
        )
    )
