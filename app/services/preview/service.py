"""The preview pipeline: request -> logs -> condition -> alerts and series. Nothing is written."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Silence
from app.services import rule_admin
from app.services.alerts import silences
from app.services.evaluation import due_minutes
from app.services.preview import buckets, by_match, by_minute, ladder, request
from app.services.preview.deadline import Deadline
from app.services.preview.known import completeness_of
from app.services.preview.log_reader import LogReader
from app.services.preview.result import PreviewAlert, PreviewResult
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.rule import Rule
from app.utils.clock import rfc3339, rfc3339_or_none

MAX_ALERTS = 5_000
"""The most alerts that are shown, oldest first."""


def preview(session: Session, body: object, settings: Settings, now: datetime) -> dict[str, Any]:
    """Simulate a rule as if it had been created at `since`.

    Args:    body: the fields of a rule, `since`, `until` (default: now), and `ladder` (default: false).
    Returns: JSON: `population` by occurrence, `matches` by the time that the condition uses, `alerts` (oldest first),
             `series`, how far logs and verdicts reach, and `ladder` if asked for. The session is read-only afterwards.
    Raises: InvalidInput for invalid fields, too many logs, and exceeding the time limit.
    """
    preview_request = request.parse_request(body, now)
    rule_admin.check(preview_request.definition, settings)
    rule_admin.check_dependencies(session, preview_request.rule_id, preview_request.definition)
    warnings = rule_admin.warnings(session, preview_request.definition, settings)
    known = completeness_of(session, preview_request.rule, settings, now)
    known_since = known.known_from(preview_request.rule)
    horizon = min(known.horizon(preview_request.rule) or preview_request.since, preview_request.until)
    deadline = Deadline()
    reader = LogReader(session, preview_request.rule, deadline)
    if isinstance(preview_request.rule.condition, MinuteCondition):
        result = by_minute.run(reader, preview_request, horizon, known, session, settings, deadline)
    else:
        result = by_match.run(reader, preview_request, horizon, deadline)
        judged_from = preview_request.since if known_since is None else max(preview_request.since, known_since)
        result.judged = (judged_from, horizon) if judged_from <= horizon else None
    result.alerts.sort(key=lambda alerts: alerts.started_at)
    held = silences.within(session, preview_request.since, preview_request.until)
    first_judged_at = due_minutes.first_judged_at(replace(preview_request.rule, started_at=now), known_since)
    bucket = buckets.bucket_of(preview_request.until - preview_request.since)
    population = reader.population(preview_request.since, preview_request.until, bucket)
    shown = {
        "population": sum(population.values()),
        "matches": sum(count for _, count in result.matches),
        "alerts": [
            _alert_json(alerts, held, preview_request, first_judged_at) for alerts in result.alerts[:MAX_ALERTS]
        ],
        "series": _series(preview_request, result, population, bucket),
        "known_since": rfc3339_or_none(known_since),
        "judged_from": rfc3339_or_none(result.judged and result.judged[0]),
        "judged_until": rfc3339_or_none(result.judged and result.judged[1]),
        "first_judged_at": rfc3339_or_none(first_judged_at),
        "windows": result.windows and {"count": result.windows.number, "too_small": result.windows.too_small},
        "warnings": [asdict(warning) for warning in warnings],
    }
    # Last: what takes too long here must not cost the rest.
    return shown | {"ladder": _ladder_json(preview_request.rule, result)} if preview_request.ladder else shown


def _ladder_json(rule: Rule, result: PreviewResult) -> dict[str, Any] | None:
    found = ladder.climb(rule, len(result.alerts), result.count_alerts)
    return found and {"field": found.field, "items": [rung._asdict() for rung in found.rungs]}


def _alert_json(
    alert: PreviewAlert,
    held: Sequence[Silence],
    preview_request: request.PreviewRequest,
    first_judged_at: datetime | None,
) -> dict[str, Any]:
    ended = alert.resolved_at or preview_request.until
    return {
        "group": alert.group,
        "started_at": rfc3339(alert.started_at),
        "resolved_at": rfc3339_or_none(alert.resolved_at),
        "occurrences": alert.occurrences,
        "silenced": silences.cover(held, preview_request.rule_id, alert.group, alert.started_at, ended),
        "not_before": rfc3339_or_none(first_judged_at) if alert.resolved_at is None else None,
    }


def _series(
    preview_request: request.PreviewRequest, result: PreviewResult, population: dict[datetime, int], bucket: timedelta
) -> list[dict[str, Any]]:
    """Split the span into buckets; each is named by its start."""
    starts = buckets.starts_of(preview_request.since, preview_request.until)
    matches: Counter[int] = Counter()
    for at, count in result.matches:
        matches[max(0, bisect_right(starts, at) - 1)] += count
    spans = ((alert.started_at, alert.resolved_at) for alert in result.alerts)
    firing = buckets.firing(spans, starts, preview_request.until)
    return [
        {
            "at": rfc3339(start),
            "population": population.get(start, 0),
            "matches": matches[number],
            "value": _value(result, min(start + bucket, preview_request.until), matches[number]),
            "firing": firing[number],
        }
        for number, start in enumerate(starts)
    ]


def _value(result: PreviewResult, at: datetime, matches: int) -> float | None:
    if result.value_at is None:
        return float(matches)
    return result.value_at(at)
