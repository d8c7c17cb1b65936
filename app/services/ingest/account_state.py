"""Serializes watched accounts with the state of their streams; many accounts cost as many statements as one."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Account, Backfill, CoverageGap, QuarantinedRecord, Stream
from app.services.ingest import backfills, budget, callbacks
from app.services.ingest.signing import signing_keys
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject

VOLATILE_FIELDS = (
    "streams",
    "quarantined",
    "requests_last_hour",
    "max_requests_per_minute",
    "last_callback_at",
    "status",
    "last_error",
)
"""Fields that change without an edit."""
MAX_SHOWN_GAPS = 50
MAX_SHOWN_RECORDS = 10
DAY = timedelta(days=1)


def account_json(session: Session, account: Account, settings: Settings, now: datetime) -> JsonObject:
    """Serialize an account with the state of its streams. Of its credentials, only the key's SID is shown."""
    return accounts_json(session, [account], settings, now)[0]


def accounts_json(session: Session, accounts: Sequence[Account], settings: Settings, now: datetime) -> list[JsonObject]:
    """Serialize accounts, in their order."""
    ids = [account.id for account in accounts]
    streams = _streams(session, ids)
    quarantined = _quarantined(session, ids, now)
    requests = budget.used_last_hour(session, ids, now)
    pushed = callbacks.last_received(session, ids)
    return [
        {
            "sid": account.sid,
            "friendly_name": account.friendly_name,
            "parent_sid": account.parent_sid,
            "enabled": account.enabled,
            "include_subaccounts": account.include_subaccounts,
            "status": account.status,
            "last_error": account.last_error,
            "from_environment": account.from_environment,
            "api_key_sid": settings.twilio_api_key_sid if account.from_environment else account.api_key_sid,
            "has_next_auth_token": account.next_auth_token is not None,
            "signing_key_ids": sorted(signing_keys(account, settings)),
            "api_base_url": account.api_base_url,
            "monitor_base_url": account.monitor_base_url,
            "requests_last_hour": requests.get(account.id, 0),
            "max_requests_per_minute": settings.twilio_max_requests_per_minute,
            "last_callback_at": rfc3339_or_none(pushed.get(account.id)),
            "streams": streams[account.id],
            "quarantined": quarantined[account.id],
        }
        for account in accounts
    ]


def _streams(session: Session, account_ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    query = select(Stream, Account.sid).join(Account, Account.id == Stream.account_id)
    rows = session.execute(query.where(Stream.account_id.in_(account_ids)).order_by(Stream.id)).all()
    stream_ids = [stream.id for stream, _ in rows]
    known = backfills.known_from(session, account_ids[0] if len(account_ids) == 1 else None)
    gaps, waiting = _gaps(session, stream_ids), _backfills(session, stream_ids)
    found: defaultdict[int, list[JsonObject]] = defaultdict(list)
    for stream, sid in rows:
        since = known.get((sid, stream.log_type))
        found[stream.account_id].append(_stream_json(stream, since, gaps[stream.id], waiting[stream.id]))
    return found


def _gaps(session: Session, stream_ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    """Return the newest gaps of each stream."""
    rank = func.row_number().over(partition_by=CoverageGap.stream_id, order_by=CoverageGap.until.desc())
    ranked = select(CoverageGap.id, rank.label("rank")).where(CoverageGap.stream_id.in_(stream_ids)).subquery()
    newest = select(CoverageGap).join(ranked, ranked.c.id == CoverageGap.id).where(ranked.c.rank <= MAX_SHOWN_GAPS)
    found: defaultdict[int, list[JsonObject]] = defaultdict(list)
    for gap in session.scalars(newest.order_by(CoverageGap.until.desc())):
        found[gap.stream_id].append({"since": rfc3339(gap.since), "until": rfc3339(gap.until), "reason": gap.reason})
    return found


def _backfills(session: Session, stream_ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    """Return the unfinished backfills of each stream, oldest first."""
    query = select(Backfill).where(Backfill.stream_id.in_(stream_ids), Backfill.finished_at.is_(None))
    found: defaultdict[int, list[JsonObject]] = defaultdict(list)
    for each in session.scalars(query.order_by(Backfill.id)):
        span = {"since": rfc3339(each.since), "until": rfc3339(each.until), "read_from": rfc3339(each.read_from)}
        found[each.stream_id].append(span)
    return found


def _stream_json(
    stream: Stream, known_from: datetime | None, gaps: list[JsonObject], waiting: list[JsonObject]
) -> JsonObject:
    return {
        "log_type": stream.log_type,
        "complete_from": rfc3339_or_none(known_from),
        "complete_until": rfc3339_or_none(stream.complete_until),
        "last_success_at": rfc3339_or_none(stream.last_success_at),
        "last_error": stream.unavailable_reason if stream.unavailable else stream.last_error,
        "last_error_at": rfc3339_or_none(stream.last_error_at),
        "failures": stream.failures,
        "unavailable": stream.unavailable,
        "rereads_behind": stream.rereads_behind,
        "coverage_gaps": gaps,
        "backfills": waiting,
    }


def _quarantined(session: Session, account_ids: Sequence[int], now: datetime) -> dict[int, JsonObject]:
    """Return how many records of each account were quarantined in the last day, and the latest reasons."""
    account_id, newest_first = QuarantinedRecord.account_id, QuarantinedRecord.seen_at.desc()
    ranked = (
        select(
            QuarantinedRecord.account_id,
            QuarantinedRecord.log_type,
            QuarantinedRecord.reason,
            QuarantinedRecord.seen_at,
            func.count().over(partition_by=account_id).label("last_day"),
            func.row_number().over(partition_by=account_id, order_by=newest_first).label("rank"),
        )
        .where(QuarantinedRecord.account_id.in_(account_ids), QuarantinedRecord.seen_at > now - DAY)
        .subquery()
    )
    found: dict[int, JsonObject] = {each: {"last_day": 0, "latest": []} for each in account_ids}
    for row in session.execute(select(ranked).where(ranked.c.rank <= MAX_SHOWN_RECORDS).order_by(ranked.c.rank)):
        record = {"log_type": row.log_type, "reason": row.reason, "seen_at": rfc3339(row.seen_at)}
        found[row.account_id]["last_day"] = row.last_day
        found[row.account_id]["latest"].append(record)
    return found
