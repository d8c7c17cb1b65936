"""Exposes what workers counted, and the current state, at each scrape of the API."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import accumulate, product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.enums import Severity
from app.metrics import INSTRUMENTS, LABEL_VALUES, MAX_HEARTBEAT_AGE, Instrument, Labels, bound_text
from app.utils.caching import ReadCache

OpenSession = Callable[[], AbstractContextManager[Session]]
CACHE_SECONDS = 5.0
SCRAPE_TIMEOUT = "3s"


class DatabaseCollector(Collector):
    """Exposes the workers' counters, the current state, and which components are up.

    While the database is unavailable, only the last of these is known.
    """

    def __init__(
        self, open_session: OpenSession, broker_answers: Callable[[], bool], poll_interval_seconds: int
    ) -> None:
        self._open_session, self._broker_answers = open_session, broker_answers
        self._poll_interval_seconds = poll_interval_seconds
        self._metrics = ReadCache(self._read, CACHE_SECONDS)

    def describe(self) -> list[Metric]:
        """Registering must not query the database."""
        return []

    def collect(self) -> list[Metric]:
        """Query at most once in `CACHE_SECONDS`, including failures, regardless of the number of scrapers."""
        return self._metrics.get()

    def _read(self) -> list[Metric]:
        up = dict.fromkeys(("database", "worker", "beat"), False)
        try:
            with self._open_session() as session:
                found = read(session)
                up |= {"database": True} | _seen(session)
        except SQLAlchemyError:
            found = []
        return [_up(up | {"broker": self._broker_answers()}), _poll_interval(self._poll_interval_seconds), *found]


def read(session: Session) -> list[Metric]:
    """Read every counter, histogram and gauge from the database."""
    session.execute(text(f"SET LOCAL statement_timeout = '{SCRAPE_TIMEOUT}'"))
    rows = session.execute(text("SELECT name, labels, sum(value) FROM counters GROUP BY name, labels"))
    totals: dict[str, dict[Labels, float]] = {}
    for name, labels, value in rows:
        totals.setdefault(name, {})[tuple(sorted(json.loads(labels).items()))] = value
    rule_ids = [str(rule_id) for rule_id in session.scalars(text("SELECT id FROM rules"))]
    values = {**LABEL_VALUES, "rule_id": rule_ids}
    for item in INSTRUMENTS:
        kept = totals.setdefault(f"{item.name}_sum" if item.buckets else item.name, {})
        for labels in product(*(values[name] for name in item.labels)):
            kept.setdefault(tuple(sorted(zip(item.labels, map(str, labels), strict=True))), 0.0)
    worked = [_histogram(item, totals) if item.buckets else _counter(item, totals) for item in INSTRUMENTS]
    return [*worked, *_gauges(session)]


def _seen(session: Session) -> dict[str, bool]:
    """Return whether worker and beat were active recently."""
    rows = session.execute(
        text("SELECT name, seen_at > now() - :age FROM heartbeats WHERE name IN ('worker', 'beat')"),
        {"age": MAX_HEARTBEAT_AGE},
    )
    return {name: bool(lately) for name, lately in rows}


def _up(components: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily(
        "giftpulse_up",
        "1 if a component works; 0 if it does not, or could not be checked.",
        labels=["component"],
    )
    for name, up in sorted(components.items()):
        family.add_metric([name], float(up))
    return family


def _poll_interval(seconds: int) -> Metric:
    return GaugeMetricFamily("giftpulse_poll_interval_seconds", "POLL_INTERVAL_SECONDS, for alarms.", value=seconds)


def _values(instrument: Instrument, labels: Labels) -> list[str]:
    return [dict(labels)[name] for name in instrument.labels]


def _counter(instrument: Instrument, totals: Mapping[str, Mapping[Labels, float]]) -> Metric:
    family = CounterMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
    for labels, value in sorted(totals.get(instrument.name, {}).items()):
        family.add_metric(_values(instrument, labels), value)
    return family


def _histogram(instrument: Instrument, totals: Mapping[str, Mapping[Labels, float]]) -> Metric:
    family = HistogramMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
    buckets = totals.get(f"{instrument.name}_bucket", {})
    bounds = [*map(bound_text, instrument.buckets), "+Inf"]
    for labels, total in sorted(totals.get(f"{instrument.name}_sum", {}).items()):
        counts = [buckets.get(tuple(sorted((*labels, ("le", bound)))), 0.0) for bound in bounds]
        family.add_metric(_values(instrument, labels), list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def _gauges(session: Session) -> Iterator[Metric]:
    yield _open_alerts(session)
    yield from _pending_deliveries(session)
    yield _poll_lag(session)


def _open_alerts(session: Session) -> Metric:
    opened = GaugeMetricFamily("giftpulse_alerts_open", "Alerts that are not resolved.", labels=("severity",))
    rows = session.execute(text("SELECT severity, count(*) FROM alerts WHERE status <> 'resolved' GROUP BY 1"))
    found = {severity: count for severity, count in rows}  # noqa: C416  # rows
    for severity in Severity:
        opened.add_metric([severity.value], found.get(severity.value, 0))
    return opened


def _pending_deliveries(session: Session) -> Iterator[Metric]:
    number, age = session.execute(
        text(
            # A delivery that waits in a bundle is pending, but not late.
            "SELECT count(*),"
            " coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE bundle_until IS NULL)), 0)"
            " FROM deliveries WHERE status = 'pending'"
        )
    ).one()
    yield GaugeMetricFamily("giftpulse_deliveries_pending", "Pending deliveries.", value=number)
    yield GaugeMetricFamily(
        "giftpulse_oldest_pending_delivery_seconds",
        "Age of the oldest pending delivery; 0 without any.",
        value=max(float(age), 0.0),
    )


def _poll_lag(session: Session) -> Metric:
    lag = GaugeMetricFamily(
        "giftpulse_poll_lag_seconds",
        "Time since the moment up to which a stream is completely read.",
        labels=("account_sid", "log_type"),
    )
    streams = session.execute(
        text(
            "SELECT a.sid, s.log_type, extract(epoch FROM now() - coalesce(s.complete_until, a.started_at))"
            " FROM streams s JOIN accounts a ON a.id = s.account_id"
            " WHERE a.enabled AND NOT s.unavailable ORDER BY 1, 2"
        )
    )
    for sid, log_type, seconds in streams:
        lag.add_metric([sid, log_type], max(float(seconds), 0.0))
    return lag
