"""The preview pipeline: request -> logs -> condition -> alerts and series. Nothing is written."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import LogType
from app.errors import FieldError
from app.models import Silence
from app.services import rule_checks
from app.services.alerts import silences
from app.services.evaluation import due_minutes
from app.services.evaluation.completeness import StreamState
from app.services.preview import buckets, by_match, by_minute, ladder, request, samples
from app.services.preview.completeness import completeness_of, limits_of
from app.services.preview.deadline import Deadline
from app.services.preview.log_reader import LogReader
from app.services.preview.result import PreviewAlert, PreviewResult
from app.services.preview.run import PreviewRun
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.patterns import reads_text
from app.services.rules.rule import Rule
from app.utils.clock import rfc3339, rfc3339_or_none

MAX_ALERTS = 5_000
"""The most alerts that are shown, oldest first."""
TEXTS_NOT_STORED = (
    "looks at texts of messages, which are not stored (STORE_MESSAGE_BODIES is off): a preview cannot count them,"
    " though the rule sees the text of each new message"
)


def preview(session: Session, body: object, settings: Settings, now: datetime) -> dict[str, Any]:
    """Simulate a rule as if it had been created at `since`.

    Args:    body: the fields of a rule, `since`, `until` (default: now), `ladder` and `samples`
             (default: false).
    Returns: JSON: `population` by occurrence, `matches` by the time that the condition uses, `alerts` (oldest first),
             `series`, the known and judged spans, and `ladder` and `samples` if requested. The session is read-only
             afterwards.
    Raises: InvalidInput for invalid fields, too many logs, and exceeding the time limit.
    """
    preview_request = request.parse_request(body, now)
    rule_checks.check(preview_request.definition, settings)
    rule_checks.check_dependencies(session, preview_request.rule_id, preview_request.definition)
    warnings = rule_checks.warnings(session, preview_request.definition, settings)
    warnings += _texts_missing(preview_request.rule, settings)
    run = _start(session, preview_request, settings, now)
    result = _evaluate(run)
    shown = _result_json(run, result, now) | {"warnings": [asdict(warning) for warning in warnings]}
    if preview_request.samples:
        found = samples.sample(session, preview_request.definition, now)
        shown["samples"] = found and samples.to_json(found)
    # Last: if the ladder takes too long, the rest is returned.
    return shown | {"ladder": _ladder_json(run.rule, result)} if preview_request.ladder else shown


def _start(session: Session, preview_request: request.PreviewRequest, settings: Settings, now: datetime) -> PreviewRun:
    rule, deadline = preview_request.rule, Deadline()
    known = completeness_of(session, rule, settings, now)
    horizon = min(known.horizon(rule) or preview_request.since, preview_request.until)
    reader = LogReader(session, rule, deadline)
    return PreviewRun(session, settings, preview_request, reader, known, horizon, deadline)


def _evaluate(run: PreviewRun) -> PreviewResult:
    """Run the rule; alerts are sorted by their start."""
    if isinstance(run.rule.condition, MinuteCondition):
        result = by_minute.run(run)
    else:
        result = by_match.run(run)
        judged_from = max(run.request.since, run.known.known_from(run.rule) or run.request.since)
        result.judged = (judged_from, run.horizon) if judged_from <= run.horizon else None
    result.alerts.sort(key=lambda alert: alert.started_at)
    return result


def _result_json(run: PreviewRun, result: PreviewResult, now: datetime) -> dict[str, Any]:
    span, known_since = run.request, run.known.known_from(run.rule)
    limits = limits_of(run.known, run.rule, span.since, span.until)
    covering = silences.overlapping(run.session, span.since, span.until)
    first_judged_at = due_minutes.first_judged_at(replace(run.rule, started_at=now), known_since)
    bucket = buckets.bucket_of(span.until - span.since)
    population = run.reader.population(span.since, span.until, bucket)
    return {
        "population": sum(population.values()),
        "matches": sum(count for _, count in result.matches),
        "alerts": [_alert_json(alert, covering, span, first_judged_at) for alert in result.alerts[:MAX_ALERTS]],
        "series": _series(span, result, population, bucket),
        "known_since": rfc3339_or_none(known_since),
        "limited_since_by": [_account_json(each) for each in limits.since],
        "limited_until_by": [_account_json(each) for each in limits.until],
        "judged_from": rfc3339_or_none(result.judged and result.judged[0]),
        "judged_until": rfc3339_or_none(result.judged and result.judged[1]),
        "first_judged_at": rfc3339_or_none(first_judged_at),
        "windows": result.windows and {"count": result.windows.number, "too_small": result.windows.too_small},
    }


def _texts_missing(rule: Rule, settings: Settings) -> list[FieldError]:
    """Warn that the pattern looks at texts that were erased: a rule that runs sees them before."""
    if settings.store_message_bodies or rule.log_type not in ("any", LogType.MESSAGE) or not reads_text(rule):
        return []
    return [FieldError("pattern_value", TEXTS_NOT_STORED)]


def _account_json(stream: StreamState) -> dict[str, Any]:
    return {"account_sid": stream.account_sid, "friendly_name": stream.account_name}


def _ladder_json(rule: Rule, result: PreviewResult) -> dict[str, Any] | None:
    found = ladder.climb(rule, len(result.alerts), result.count_alerts)
    return found and {"field": found.field, "items": [rung._asdict() for rung in found.rungs]}


def _alert_json(
    alert: PreviewAlert,
    covering: Sequence[Silence],
    preview_request: request.PreviewRequest,
    first_judged_at: datetime | None,
) -> dict[str, Any]:
    ended = alert.resolved_at or preview_request.until
    return {
        "group": alert.group,
        "started_at": rfc3339(alert.started_at),
        "resolved_at": rfc3339_or_none(alert.resolved_at),
        "occurrences": alert.occurrences,
        "silenced": silences.silenced_throughout(
            covering, preview_request.rule_id, alert.group, alert.started_at, ended
        ),
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
