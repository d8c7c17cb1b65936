"""Ingests a page of records: finds new and changed ones, stores them as logs, and quarantines malformed ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.orm import Session

from app.enums import LogType
from app.services.ingest.context import IngestContext, store_policy
from app.services.ingest.decoding import MalformedRecord, head
from app.services.ingest.normalize import normalize, without_body
from app.services.ingest.push_intake import apply_pushes
from app.services.ingest.quarantine import MalformedRecords, quarantine
from app.services.logs import log_rows, store
from app.services.logs.types import NormalizedLog

TAIL_LOGS = 20
"""This many logs at the end of a page show how far back it goes."""
RecordHead = tuple[str, int, msgspec.Raw]
"""SID, hash and record."""


@dataclass(frozen=True)
class PageResult:
    """The result of ingesting a page of records."""

    changes: int
    back_to: datetime | None
    """How far back the page goes, in a newest-first list; None if none of its logs shows it."""


def ingest_page(
    session: Session,
    context: IngestContext,
    stream_ids: Mapping[str, int],
    records: Sequence[msgspec.Raw],
    now: datetime,
) -> PageResult:
    """Store new and changed records. A malformed record is quarantined; the rest is stored.

    Args:    stream_ids: the locked streams by log type, including those of `dependent_types`.
    """
    policy = store_policy(context.settings, now)
    malformed: MalformedRecords = []
    heads = _read_heads(records, malformed)
    known = log_rows.lookup(session, context.account_id, [sid for sid, _, _ in heads])
    parsed = _normalize_changed(context.log_type, heads, known, malformed, now)
    if not policy.keep_bodies:
        parsed = [each if isinstance(each, log_rows.StoredState) else without_body(each) for each in parsed]
    unchanged = [each for each in parsed if isinstance(each, log_rows.StoredState)]
    logs = [
        each
        for each in parsed
        if isinstance(each, NormalizedLog) and (each.sid in known or not _ended_before(each, context.floor))
    ]
    store.mark_read(session, unchanged, now, policy)
    changes = store.save(session, context.account_id, stream_ids, logs, known, context.source, now, policy)
    new_sids = [log.sid for log in logs if log.sid not in known]
    if new_sids:
        changes += apply_pushes(session, context, stream_ids, new_sids, now).changes
    if malformed:
        quarantine(session, context, malformed, now)
    return PageResult(changes, _back_to(context.log_type, parsed))


def _ended_before(log: NormalizedLog, floor: datetime | None) -> bool:
    return floor is not None and log.final and max(log.occurred_at, log.changed_at) < floor


def _read_heads(records: Iterable[msgspec.Raw], malformed: MalformedRecords) -> list[RecordHead]:
    """Read SIDs and hashes; collect records that have none."""
    heads: list[RecordHead] = []
    for record in records:
        try:
            heads.append((*head(record), record))
        except MalformedRecord as error:
            malformed.append((record, str(error)))
    return heads


def _normalize_changed(
    log_type: LogType,
    heads: Iterable[RecordHead],
    known: Mapping[str, log_rows.StoredState],
    malformed: MalformedRecords,
    now: datetime,
) -> list[NormalizedLog | log_rows.StoredState]:
    """Normalize new and changed records, and collect malformed ones. The result keeps the order of the list."""
    parsed: list[NormalizedLog | log_rows.StoredState] = []
    for sid, hashed, record in heads:
        found = known.get(sid)
        if found is not None and found.content_hash == hashed:
            parsed.append(found)
            continue
        try:
            parsed.append(normalize(log_type, record, hashed, now))
        except MalformedRecord as error:
            malformed.append((record, str(error)))
        except Exception as error:  # noqa: BLE001 - an unexpected error must not block the rest of the page
            malformed.append((record, f"the record could not be read: {type(error).__name__}"))
    return parsed


def _back_to(log_type: LogType, logs: Sequence[NormalizedLog | log_rows.StoredState]) -> datetime | None:
    """Find how far back a page goes: the latest time among its last logs, because a few may be out of order.

    Messages that were never sent have no position in a list sorted by sending time. A page of only such messages gives
    None.
    """
    times = [(item.occurred_at, item.sent_at) for item in logs if log_type != LogType.MESSAGE or item.sent_at]
    return max((max(occurred_at, sent_at or occurred_at) for occurred_at, sent_at in times[-TAIL_LOGS:]), default=None)
