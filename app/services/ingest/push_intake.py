"""Applies stored pushes to their logs, one state of a log at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.enums import LogSource, LogType
from app.models import PushedRecord
from app.services.ingest.context import IngestContext, store_policy
from app.services.ingest.decoding import MalformedRecord, content_hash
from app.services.ingest.normalize import EARLIEST, MAX_CLOCK_SKEW, normalize
from app.services.ingest.quarantine import MalformedRecords, quarantine
from app.services.logs import log_rows, store
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import apply_status_push


@dataclass(frozen=True)
class ApplyResult:
    """The result of applying pushes."""

    sids: int
    """The number of logs that pushes were applied to."""
    changes: int


def apply_pushes(
    session: Session, context: IngestContext, stream_ids: Mapping[str, int], sids: Sequence[str], now: datetime
) -> ApplyResult:
    """Apply pushes to these logs if they are known. A push of an error entry creates its log."""
    query = select(PushedRecord).where(
        PushedRecord.account_id == context.account_id,
        PushedRecord.log_type == context.log_type,
        log_rows.any_of(PushedRecord.sid, sids),
        PushedRecord.applied_at.is_(None),
    )
    pushes = session.scalars(query.order_by(PushedRecord.received_at, PushedRecord.id)).all()
    if not pushes:
        return ApplyResult(0, 0)
    stored = log_rows.load(session, context.account_id, list({push.sid for push in pushes}))
    states = {sid: found.log for sid, found in stored.items()}
    policy = store_policy(context.settings, now)
    changes = 0
    malformed: MalformedRecords = []
    for round_ in _rounds(pushes):
        updated = _apply_round(context.log_type, round_, states, malformed, now)
        known = log_rows.lookup(session, context.account_id, list(updated))
        saved = list(updated.values())
        changes += store.save(session, context.account_id, stream_ids, saved, known, LogSource.CALLBACK, now, policy)
        states |= updated
        for push in round_:
            if push.sid in states or context.log_type == LogType.ERROR:
                push.applied_at = now
    if malformed:
        quarantine(session, context, malformed, now)
    return ApplyResult(len({push.sid for push in pushes if push.applied_at}), changes)


def _rounds(pushes: Sequence[PushedRecord]) -> list[list[PushedRecord]]:
    """Split pushes into rounds, each log at most once per round, so that rules see its states one by one."""
    rounds: list[list[PushedRecord]] = []
    seen: Counter[str] = Counter()
    for push in pushes:
        if seen[push.sid] == len(rounds):
            rounds.append([])
        rounds[seen[push.sid]].append(push)
        seen[push.sid] += 1
    return rounds


def _apply_round(
    log_type: LogType,
    round_: Sequence[PushedRecord],
    states: Mapping[str, NormalizedLog],
    malformed: MalformedRecords,
    now: datetime,
) -> dict[str, NormalizedLog]:
    """Apply one round of pushes, and collect malformed ones."""
    updated = {}
    for push in round_:
        try:
            log = _apply_push(log_type, states.get(push.sid), push, now)
        except MalformedRecord as error:
            malformed.append((msgspec.Raw(msgspec.json.encode(push.fields)), str(error)))
            continue
        if log is not None:
            updated[push.sid] = log
    return updated


def _apply_push(
    log_type: LogType, state: NormalizedLog | None, push: PushedRecord, now: datetime
) -> NormalizedLog | None:
    """Apply a push to a log. None if it adds nothing or the log is unknown.

    Raises: MalformedRecord for a malformed error entry.
    """
    if log_type == LogType.ERROR:
        return None if state is not None else _entry(push, now)
    if state is None:
        return None
    at = push.fields.get("at")
    updated = apply_status_push(
        state,
        push.fields["status"],
        push.fields.get("error_code"),
        datetime.fromisoformat(at) if at else None,
        push.received_at,
    )
    duration = push.fields.get("duration")
    if updated is not None and log_type == LogType.CALL and duration is not None and updated.final:
        updated = msgspec.structs.replace(updated, duration_seconds=duration)
    return updated


def _entry(push: PushedRecord, now: datetime) -> NormalizedLog:
    """Build the log of an error entry from a push. Records from the error log replace it, regardless of their
    dates.

    Raises: MalformedRecord.
    """
    fields = push.fields
    if fields.get("date_generated") is None or not _has_time(fields, now):
        fields = {**fields, "date_generated": push.received_at.isoformat(timespec="seconds")}
    record = msgspec.Raw(msgspec.json.encode(fields))
    entry = normalize(LogType.ERROR, record, content_hash(record), now)
    return msgspec.structs.replace(entry, updated_at=entry.occurred_at - timedelta(days=1), pushed_at=push.received_at)


def _has_time(fields: Mapping[str, object], now: datetime) -> bool:
    """Return whether the time in a push is plausible; otherwise its arrival time is used."""
    at = datetime.fromisoformat(str(fields["date_generated"]))
    return EARLIEST < at <= now + MAX_CLOCK_SKEW
