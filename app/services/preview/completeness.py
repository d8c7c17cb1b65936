"""The completeness of the logs that a preview runs over."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.config import Settings
from app.services.evaluation.completeness import Completeness, StreamState, load_completeness
from app.services.ingest import backfills
from app.services.preview.request import EARLIEST
from app.services.rules.rule import Rule

MAX_LAG = timedelta(minutes=10)
"""Streams that are read end a little before now."""


def completeness_of(session: Session, rule: Rule, settings: Settings, now: datetime) -> Completeness:
    """Return how far the streams of a rule are complete, including backfills and without expired logs."""
    known = load_completeness(session, settings, now)
    if known.horizon(rule) is None:  # The account cannot be read now; its earlier logs still count.
        known = load_completeness(session, settings, EARLIEST)
    known = replace(known, streams=_with_backfills(session, known.streams))
    if not rule.condition.earlier_windows:  # A spike compares with windows that must hold the same accounts.
        known = replace(known, streams=_as_watched(known, rule))
    # Exclude logs that existed when the rule started but have expired since.
    return replace(known, retention=known.retention - (now - rule.started_at))


def _with_backfills(session: Session, streams: Sequence[StreamState]) -> list[StreamState]:
    """Return the streams, extended by what backfills read."""
    found = backfills.known_from(session)
    return [
        replace(stream, complete_from=found.get((stream.account_sid, stream.log_type), stream.complete_from))
        for stream in streams
    ]


def _as_watched(known: Completeness, rule: Rule) -> list[StreamState]:
    """Let an account that is completely read since it was added limit nothing from before: it was not watched then."""
    own = known.streams_of(rule)
    first = min((stream.complete_from for stream in own if stream.complete_from), default=None)
    return [
        replace(stream, complete_from=first) if stream in own and first and _is_whole(stream) else stream
        for stream in known.streams
    ]


def _is_whole(stream: StreamState) -> bool:
    return stream.complete_from is not None and stream.complete_from <= stream.added_at


class Limits(NamedTuple):
    """The accounts that keep a preview from judging all of its span."""

    since: Sequence[StreamState]
    """Their logs are not stored from before the first known time."""
    until: Sequence[StreamState]
    """They could not be read since the last known time."""


def limits_of(known: Completeness, rule: Rule, since: datetime, until: datetime) -> Limits:
    """Find the accounts that limit what is known of a span."""
    own = {stream.account_sid: stream for stream in reversed(known.streams_of(rule))}
    first, last = known.known_from(rule), known.horizon(rule)
    late = [] if first is None or first <= since else [s for s in known.streams_of(rule) if s.complete_from == first]
    stalled = (
        []
        if last is None or last > until - MAX_LAG
        else [s for s in known.streams_of(rule) if s.complete_until and s.complete_until <= until - MAX_LAG]
    )
    return Limits(*([own[sid] for sid in dict.fromkeys(s.account_sid for s in found)] for found in (late, stalled)))
