"""Builds the text index in the background.

A trigram index on the logs themselves would halve the insert rate. The indexer follows the log changes, as the
evaluation does. Logs that are not indexed yet are searched directly.
"""

import time

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.config import Settings
from app.database import session_scope

_CHANGED = Unnest("changed", occurred_at="timestamptz", id="bigint")
BATCH_SIZE = 2_000
"""Changes indexed per transaction."""


def catch_up(settings: Settings, seconds: float) -> int:
    """Index pending changes for a limited time; return how many there were."""
    began, count = time.monotonic(), 0
    with session_scope() as session:
        session.execute(text("INSERT INTO stream_searches (stream_id) SELECT id FROM streams ON CONFLICT DO NOTHING"))
        streams = list(session.scalars(text("SELECT stream_id FROM stream_searches ORDER BY stream_id")))
    for stream_id in streams:
        while time.monotonic() - began < seconds:
            with session_scope() as session:
                done = _index_batch(session, stream_id, settings)
            count += done
            if done < BATCH_SIZE:
                break
    return count


def _index_batch(session: Session, stream_id: int, settings: Settings) -> int:
    """Index one batch of a stream's changes; none if another worker does."""
    after = session.scalar(
        text("SELECT change_id FROM stream_searches WHERE stream_id = :stream FOR UPDATE SKIP LOCKED"),
        {"stream": stream_id},
    )
    if after is None:
        return 0
    changes = session.execute(
        text(
            "SELECT id, occurred_at, log_id FROM log_changes WHERE stream_id = :stream AND id > :after"
            " ORDER BY id LIMIT :most"
        ),
        {"stream": stream_id, "after": after, "most": BATCH_SIZE},
    ).all()
    if not changes:
        return 0
    logs = sorted({(change.occurred_at, change.log_id) for change in changes})
    session.execute(
        text(
            "INSERT INTO log_texts AS kept (occurred_at, log_id, words)"
            " SELECT l.occurred_at, l.id, lower(concat_ws(chr(10), CASE WHEN :bodies OR l.log_type <> 'message'"
            " THEN l.text_ END, l.error_message, l.from_, l.to_, l.sid))"
            f" FROM {_CHANGED} JOIN logs l USING (occurred_at, id)"
            " ON CONFLICT (occurred_at, log_id) DO UPDATE SET words = excluded.words"
            " WHERE kept.words <> excluded.words"
        ),
        # Bodies that are not kept are about to be deleted from the logs, and must not remain here.
        {"bodies": settings.store_message_bodies, **_CHANGED.values(logs)},
    )
    session.execute(
        text("UPDATE stream_searches SET change_id = :last WHERE stream_id = :stream"),
        {"stream": stream_id, "last": changes[-1].id},
    )
    return len(changes)
