"""Counts the costs, alerts and rules of a report. Each query reads the span and the one before together."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.enums import Severity, severity_rank
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject

MAX_ALERTS = 10
MAX_NOISY = 10
MAX_QUIET = 100
MAX_SUMMARY_LENGTH = 300
MAX_NAME_LENGTH = 200
COST = """
SELECT price_unit,
       coalesce(sum(abs(price)) FILTER (WHERE occurred_at >= :since), 0) AS amount,
       coalesce(sum(abs(price)) FILTER (WHERE occurred_at < :since), 0) AS before
FROM logs
WHERE occurred_at >= :before AND occurred_at < :until AND price IS NOT NULL AND price_unit IS NOT NULL
GROUP BY price_unit ORDER BY amount DESC, price_unit
"""
# CASE keeps a missing time NULL: `greatest` alone would make it 0.
ALERTS = """
WITH found AS (
  SELECT severity, status, acknowledged_at IS NOT NULL AS acknowledged, started_at >= :since AS inside,
         CASE WHEN acknowledged_at IS NOT NULL THEN greatest(extract(epoch FROM acknowledged_at - started_at), 0) END
           AS to_acknowledge,
         CASE WHEN resolved_at IS NOT NULL THEN greatest(extract(epoch FROM resolved_at - started_at), 0) END
           AS to_resolve
  FROM alerts WHERE started_at >= :before AND started_at < :until
)
SELECT count(*) FILTER (WHERE inside) AS total,
       count(*) FILTER (WHERE NOT inside) AS before,
       count(*) FILTER (WHERE inside AND status <> 'resolved') AS open,
       count(*) FILTER (WHERE inside AND acknowledged) AS acknowledged,
       count(*) FILTER (WHERE inside AND severity = 'critical') AS critical,
       count(*) FILTER (WHERE inside AND severity = 'warning') AS warning,
       count(*) FILTER (WHERE inside AND severity = 'info') AS info,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY to_acknowledge) FILTER (WHERE inside) AS to_acknowledge,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY to_acknowledge) FILTER (WHERE NOT inside) AS to_acknowledge_before,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY to_resolve) FILTER (WHERE inside) AS to_resolve,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY to_resolve) FILTER (WHERE NOT inside) AS to_resolve_before
FROM found
"""
WORST_ALERTS = f"""
SELECT id, rule_name, severity, status, summary, started_at, acknowledged_at, acknowledged_by, resolved_at
FROM alerts WHERE started_at >= :since AND started_at < :until
ORDER BY {severity_rank("severity")} DESC, started_at DESC, id LIMIT :limit
"""
NOISIEST = """
WITH fired AS (
  SELECT rule_id, count(*) AS alerts, count(*) FILTER (WHERE acknowledged_at IS NOT NULL) AS acknowledged
  FROM alerts WHERE rule_id IS NOT NULL AND started_at >= :since AND started_at < :until GROUP BY rule_id
), notified AS (
  SELECT a.rule_id, count(*) AS notifications FROM deliveries d JOIN alerts a ON a.id = d.alert_id
  WHERE a.rule_id IS NOT NULL AND d.created_at >= :since AND d.created_at < :until GROUP BY a.rule_id
), counts AS (
  SELECT rule_id, coalesce(alerts, 0) AS alerts, coalesce(acknowledged, 0) AS acknowledged,
         coalesce(notifications, 0) AS notifications
  FROM fired FULL JOIN notified USING (rule_id)
)
SELECT rule_id, r.id IS NULL AS deleted, alerts, acknowledged, notifications, coalesce(r.name, (
  SELECT rule_name FROM alerts a WHERE a.rule_id = counts.rule_id ORDER BY a.started_at DESC, a.id LIMIT 1)) AS name
FROM counts LEFT JOIN rules r ON r.id = counts.rule_id
ORDER BY notifications DESC, alerts DESC, name, rule_id LIMIT :limit
"""
WITHOUT_MATCH = """
SELECT id, name, last_matched_at FROM rules
WHERE enabled AND started_at <= :since AND (last_matched_at IS NULL OR last_matched_at < :since)
ORDER BY last_matched_at NULLS FIRST, name, id LIMIT :limit
"""


def cost(session: Session, span: dict[str, datetime]) -> JsonObject:
    """Add the prices up that are known so far, by unit, as decimal texts: floats would change them."""
    rows = session.execute(text(COST), span)
    return {
        "items": [{"unit": row.price_unit, "amount": f"{row.amount:f}", "before": f"{row.before:f}"} for row in rows]
    }


def alerts(session: Session, span: dict[str, datetime]) -> JsonObject:
    """Count the alerts that started in the span, with the median times to acknowledge and to resolve them."""
    row = session.execute(text(ALERTS), span).one()
    worst = session.execute(text(WORST_ALERTS), span | {"limit": MAX_ALERTS}).all()
    return {
        "total": row.total,
        "before": row.before,
        "open": row.open,
        "acknowledged": row.acknowledged,
        "by_severity": {severity.value: getattr(row, severity) for severity in reversed(Severity)},
        "seconds_to_acknowledge": _seconds(row.to_acknowledge),
        "seconds_to_acknowledge_before": _seconds(row.to_acknowledge_before),
        "seconds_to_resolve": _seconds(row.to_resolve),
        "seconds_to_resolve_before": _seconds(row.to_resolve_before),
        "items": [_alert(each) for each in worst],
    }


def _seconds(value: Any) -> float | None:
    return None if value is None else round(float(value), 3)


def _alert(row: Row[*tuple[Any, ...]]) -> JsonObject:
    return {
        "id": str(row.id),
        "rule_name": row.rule_name,
        "severity": row.severity,
        "status": row.status,
        "summary": row.summary[:MAX_SUMMARY_LENGTH],
        "started_at": rfc3339(row.started_at),
        # An alert that was resolved without an acknowledgement names who resolved it.
        "acknowledged_by": row.acknowledged_at and row.acknowledged_by and row.acknowledged_by[:MAX_NAME_LENGTH],
        "seconds_to_acknowledge": _between(row.started_at, row.acknowledged_at),
        "seconds_to_resolve": _between(row.started_at, row.resolved_at),
    }


def _between(since: datetime, until: datetime | None) -> float | None:
    return None if until is None else max((until - since) / timedelta(seconds=1), 0.0)


def rules(session: Session, span: dict[str, datetime]) -> JsonObject:
    """List the rules that made the most notifications, and those that matched nothing though enabled all the time."""
    noisiest = session.execute(text(NOISIEST), span | {"limit": MAX_NOISY}).all()
    without_match = session.execute(text(WITHOUT_MATCH), {"since": span["since"], "limit": MAX_QUIET}).all()
    return {"noisiest": _noisy(noisiest), "without_match": [_quiet(row) for row in without_match]}


def _noisy(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[JsonObject]:
    return [
        {
            "rule_id": str(row.rule_id),
            "rule_name": row.name,
            "deleted": row.deleted,
            "alerts": row.alerts,
            "acknowledged": row.acknowledged,
            "notifications": row.notifications,
        }
        for row in rows
    ]


def _quiet(row: Row[*tuple[Any, ...]]) -> JsonObject:
    return {"rule_id": str(row.id), "rule_name": row.name, "last_matched_at": rfc3339_or_none(row.last_matched_at)}
