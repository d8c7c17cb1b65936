"""The completeness of the logs that a preview runs over."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.config import Settings
from app.services.evaluation.completeness import Completeness, StreamState, load_completeness
from app.services.ingest import backfills
from app.services.preview.request import EARLIEST
from app.services.rules.rule import Rule


def completeness_of(session: Session, rule: Rule, settings: Settings, now: datetime) -> Completeness:
    """Return how far the streams of a rule are complete, including backfills and without expired logs."""
    known = load_completeness(session, settings, now)
    if known.horizon(rule) is None:  # The account cannot be read now; its earlier logs still count.
        known = load_completeness(session, settings, EARLIEST)
    known = replace(known, streams=_with_backfills(session, known.streams))
    # Exclude logs that existed when the rule started but have expired since.
    return replace(known, retention=known.retention - (now - rule.started_at))


def _with_backfills(session: Session, streams: Sequence[StreamState]) -> list[StreamState]:
    """Return the streams, extended by what backfills read."""
    found = backfills.known_from(session)
    return [
        replace(stream, complete_from=found.get((stream.account_sid, stream.log_type), stream.complete_from))
        for stream in streams
    ]
