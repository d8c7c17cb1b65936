"""Every Prometheus instrument: its name, help, labels, and how it is counted and exposed.

The work of workers is counted in PostgreSQL, in the transaction that did it, and read at the scrape: that is exact
across processes and restarts. Requests are counted in the API's process. Label values come from closed sets or from the
operator's accounts and rules, never from a log. Counters start at 0, so that the first increment is visible.
`giftpulse_up` shows components that could not be checked.
"""

import json
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate, product

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.database import Unnest
from app.enums import ActionType, AttemptOutcome, HoldReason, LogSource, LogType, Severity

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
OpenSession = Callable[[], AbstractContextManager[Session]]

COUNTER_SHARDS = 8
"""Each counter has this many rows, so that processes seldom wait for each other."""
CACHE_SECONDS = 5.0
SCRAPE_TIMEOUT = "3s"
MAX_HEARTBEAT_AGE_SECONDS = 60
"""Worker and beat report every ten seconds."""
LABEL_VALUES: Mapping[str, Collection[str]] = {
    "log_type": list(LogType),
    "source": list(LogSource),
    "severity": list(Severity),
    "event": ("fired", "resolved"),
    "by": list(HoldReason),
    "action_type": list(ActionType),
    "outcome": [outcome for outcome in AttemptOutcome if outcome != AttemptOutcome.STARTED],
    "reason": ("unavailable", "rate_limited", "refused", "lease_lost"),
}
"""The values of closed labels: their counters exist from the start."""


@dataclass(frozen=True)
class Instrument:
    """A counter or histogram that workers keep in the database."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds in seconds; empty for a counter."""

    def increment(self, **labels: str) -> dict[Key, float]:
        """Return the increments of one event."""
        return {self.key(**labels): 1.0}

    def key(self, **labels: str) -> Key:
        """Return the key of one series of this counter; every label is required."""
        if set(labels) != set(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        return self.name, tuple(sorted(labels.items()))


LOGS_INGESTED = Instrument(
    "giftpulse_logs_ingested_total", "Logs stored for the first time, by the way they came.", ("log_type", "source")
)
LOGS_CHANGED = Instrument("giftpulse_logs_changed_total", "Changes of logs that were stored before.", ("log_type",))
LOGS_MALFORMED = Instrument(
    "giftpulse_logs_malformed_total",
    "Records that cannot be logs, each counted once: they are set aside.",
    ("log_type",),
)
RULE_MATCHES = Instrument("giftpulse_rule_matches_total", "Logs that matched a rule.", ("rule_id",))
ALERTS = Instrument("giftpulse_alerts_total", "Alerts that fired or resolved.", ("severity", "event"))
ALERTS_WITHHELD = Instrument(
    "giftpulse_alerts_withheld_total", "Times that something began to withhold an open alert, by what it was.", ("by",)
)
ESCALATIONS = Instrument(
    "giftpulse_escalations_total",
    "Firings sent to escalating actions, one for each alert.",
    ("action_type",),
)
DELIVERIES_BUNDLED = Instrument(
    "giftpulse_deliveries_bundled_total", "Firings that went out within the digest of a bundle.", ("action_type",)
)
DELIVERIES = Instrument(
    "giftpulse_deliveries_total", "Attempts of deliveries, by how they ended.", ("action_type", "outcome")
)
DELIVERY_DURATION = Instrument(
    "giftpulse_delivery_duration_seconds",
    "Duration of one attempt of a delivery.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0),
)
POLL_DURATION = Instrument(
    "giftpulse_poll_duration_seconds",
    "Duration of one poll of one stream.",
    ("log_type",),
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
POLL_ERRORS = Instrument("giftpulse_poll_errors_total", "Polls that failed.", ("log_type", "reason"))

INSTRUMENTS = (
    LOGS_INGESTED,
    LOGS_CHANGED,
    LOGS_MALFORMED,
    RULE_MATCHES,
    ALERTS,
    ALERTS_WITHHELD,
    ESCALATIONS,
    DELIVERIES_BUNDLED,
    DELIVERIES,
    DELIVERY_DURATION,
    POLL_DURATION,
    POLL_ERRORS,
)
_BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}

REGISTRY = CollectorRegistry()
"""The instruments of this process; the API adds the database's at its start."""
ProcessCollector(registry=REGISTRY)
HTTP_DURATION = Histogram(
    "giftpulse_http_request_duration_seconds",
    "Duration of one request to the API, by the template of its route.",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=REGISTRY,
)


def observe(name: str, labels: Mapping[str, str], seconds: float) -> dict[Key, float]:
    """Return the increments of one observation of a histogram: its bucket and its sum.

    Args:    name: the histogram's name, such as `giftpulse_poll_duration_seconds`.
    """
    instrument = _BY_NAME[name]
    _, pairs = instrument.key(**labels)
    bucket = bisect_left(instrument.buckets, seconds)
    bound = _bound(instrument.buckets[bucket]) if bucket < len(instrument.buckets) else "+Inf"
    return {(f"{name}_bucket", tuple(sorted((*pairs, ("le", bound))))): 1.0, (f"{name}_sum", pairs): seconds}


def _bound(value: float) -> str:
    return repr(float(value))


_ADDED = Unnest("added", name="text", labels="text", value="float8")


def count(session: Session, increments: Mapping[Key, float]) -> None:
    """Add to the counters in the caller's transaction.

    Rows are locked in the order of their keys, so that transactions cannot deadlock.
    """
    if not increments:
        return
    rows = sorted((name, json.dumps(dict(pairs), sort_keys=True), value) for (name, pairs), value in increments.items())
    session.execute(
        text(
            "INSERT INTO counters AS kept (name, labels, part, value)"
            f" SELECT name, labels, :part, value FROM {_ADDED}"
            " ON CONFLICT (name, labels, part) DO UPDATE SET value = kept.value + excluded.value"
        ),
        {"part": os.getpid() % COUNTER_SHARDS, **_ADDED.values(rows)},
    )


class DatabaseCollector(Collector):
    """Exposes the workers' counters, the current state, and which components are up.

    While the database is unavailable, only the last of these is known.
    """

    def __init__(
        self, open_session: OpenSession, broker_answers: Callable[[], bool], poll_interval_seconds: int
    ) -> None:
        self._open_session, self._broker_answers = open_session, broker_answers
        self._poll_interval_seconds = poll_interval_seconds
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._read_at: float | None = None

    def describe(self) -> list[Metric]:
        """Registering must not query the database."""
        return []

    def collect(self) -> list[Metric]:
        """Query at most once in `CACHE_SECONDS`, including failures, regardless of the number of scrapers."""
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > CACHE_SECONDS:
                self._metrics = self._read()
                self._read_at = time.monotonic()
            return self._metrics

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
        text(
            "SELECT name, seen_at > now() - :seconds * interval '1 second' FROM heartbeats"
            " WHERE name IN ('worker', 'beat')"
        ),
        {"seconds": MAX_HEARTBEAT_AGE_SECONDS},
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
    bounds = [*map(_bound, instrument.buckets), "+Inf"]
    for labels, total in sorted(totals.get(f"{instrument.name}_sum", {}).items()):
        counts = [buckets.get(tuple(sorted((*labels, ("le", bound)))), 0.0) for bound in bounds]
        family.add_metric(_values(instrument, labels), list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def _gauges(session: Session) -> Iterator[Metric]:
    opened = GaugeMetricFamily("giftpulse_alerts_open", "Alerts that are not resolved.", labels=("severity",))
    rows = session.execute(text("SELECT severity, count(*) FROM alerts WHERE status <> 'resolved' GROUP BY 1"))
    found = {severity: count for severity, count in rows}  # noqa: C416  # rows
    for severity in Severity:
        opened.add_metric([severity.value], found.get(severity.value, 0))
    yield opened

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

    lag = GaugeMetricFamily(
        "giftpulse_poll_lag_seconds",
        "Time since the moment up to which a stream is known whole.",
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
    yield lag
