"""The preview as a story: request -> logs -> the rule's condition -> alerts and a series. Nothing is written."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Silence
from app.services import catalogue
from app.services.alerts import silences, timed
from app.services.ingest import backfills
from app.services.preview import by_match, by_minute, request
from app.services.preview.deadline import Deadline
from app.services.preview.outcome import Outcome, Told
from app.services.preview.reading import Reader
from app.services.rules import engine
from app.utils.clock import rfc3339

BUCKETS = 200
"""Points of the series, at most."""
BUCKET_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
MAX_ALERTS = 5_000
"""Alerts that are shown, the oldest first."""


def preview(session: Session, body: object, settings: Settings, now: datetime) -> dict[str, Any]:
    """Say what a rule would have done, had it been made at `since`.

    Args:    body: the fields of a rule, `since`, and `until` (now, where it is left out).
    Returns: as JSON: `population` by when logs occurred, `matches` by when the condition counts them, `alerts`, the
             oldest first, `series`, and how far logs and judgments reach. The session can write nothing any more.
    Raises: InvalidInput, for what cannot be used, for more logs than a preview looks at, and for what takes too long.
    """
    asked = request.read(body, now)
    catalogue.check(asked.definition)
    warnings = catalogue.warnings(session, asked.definition)
    known = engine.completeness(session, now)
    if known.horizon(asked.rule) is None:  # Nothing can be read at present; what was read before still counts.
        known = engine.completeness(session, request.EARLIEST)
    known = replace(known, streams=_with_backfills(session, known.streams))
    # What was stored at `since` and has been dropped meanwhile is not there to be learnt from.
    known = replace(known, kept=known.kept - (now - asked.since))
    known_since = known.known_from(asked.rule)
    horizon = min(known.horizon(asked.rule) or asked.since, asked.until)
    deadline = Deadline()
    reader = Reader(session, asked.rule, deadline)
    if isinstance(asked.rule.params, timed.TIMED):
        outcome = by_minute.run(reader, asked, horizon, known, session, settings, deadline)
    else:
        outcome = by_match.run(reader, asked, horizon)
        judged_from = asked.since if known_since is None else max(asked.since, known_since)
        outcome.judged = (judged_from, horizon) if judged_from <= horizon else None
    outcome.alerts.sort(key=lambda told: told.started_at)
    held = silences.within(session, asked.since, asked.until)
    first_judged_at = timed.first_judged_at(replace(asked.rule, started_at=now), known_since)
    bucket = _bucket(asked.until - asked.since)
    population = reader.population(asked.since, asked.until, bucket)
    return {
        "population": sum(population.values()),
        "matches": sum(count for _, count in outcome.matches),
        "alerts": [_alert_json(told, held, asked, first_judged_at) for told in outcome.alerts[:MAX_ALERTS]],
        "series": _series(asked, outcome, population, bucket),
        "known_since": _time(known_since),
        "judged_from": _time(outcome.judged and outcome.judged[0]),
        "judged_until": _time(outcome.judged and outcome.judged[1]),
        "first_judged_at": _time(first_judged_at),
        "windows": outcome.windows and {"count": outcome.windows.number, "too_small": outcome.windows.too_small},
        "warnings": [asdict(warning) for warning in warnings],
    }


def _with_backfills(session: Session, streams: Sequence[engine.StreamState]) -> list[engine.StreamState]:
    """Return the streams with what backfills have read before they began to be read."""
    found = backfills.known_from(session)
    return [
        replace(stream, complete_from=found.get((stream.account_sid, stream.log_type), stream.complete_from))
        for stream in streams
    ]


def _bucket(span: timedelta) -> timedelta:
    return next(
        (timedelta(minutes=minutes) for minutes in BUCKET_MINUTES if span <= BUCKETS * timedelta(minutes=minutes)),
        timedelta(days=1),
    )


def _alert_json(
    told: Told, held: Sequence[Silence], asked: request.Request, first_judged_at: datetime | None
) -> dict[str, Any]:
    ended = told.resolved_at or asked.until
    return {
        "group": told.group,
        "started_at": rfc3339(told.started_at),
        "resolved_at": _time(told.resolved_at),
        "occurrences": told.occurrences,
        "silenced": silences.cover(held, asked.rule_id, told.group, told.started_at, ended),
        "not_before": _time(first_judged_at) if told.resolved_at is None else None,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _series(
    asked: request.Request, outcome: Outcome, population: dict[datetime, int], bucket: timedelta
) -> list[dict[str, Any]]:
    """Put the span into buckets; each is named by its beginning."""
    starts = [asked.since + number * bucket for number in range(-(-(asked.until - asked.since) // bucket))]
    matches: Counter[int] = Counter()
    for at, count in outcome.matches:
        matches[max(0, bisect_right(starts, at) - 1)] += count
    firing = _firing(outcome.alerts, starts, asked.until)
    return [
        {
            "at": rfc3339(start),
            "population": population.get(start, 0),
            "matches": matches[number],
            "value": _value(outcome, min(start + bucket, asked.until), matches[number]),
            "firing": firing[number],
        }
        for number, start in enumerate(starts)
    ]


def _value(outcome: Outcome, at: datetime, matches: int) -> float | None:
    if outcome.value_at is None:
        return float(matches)
    return outcome.value_at(at)


def _firing(alerts: list[Told], starts: list[datetime], until: datetime) -> list[bool]:
    """Say for each bucket whether an alert was open in it."""
    changes: Counter[int] = Counter()
    for told in alerts:
        changes[max(0, bisect_right(starts, told.started_at) - 1)] += 1
        changes[bisect_right(starts, told.resolved_at or until)] -= 1
    firing, held = [], 0
    for number in range(len(starts)):
        held += changes[number]
        firing.append(held > 0)
    return firing
