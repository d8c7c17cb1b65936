"""Every Prometheus instrument: its name, help, labels, and how it is counted and exposed.

The work of workers is counted in PostgreSQL, in the transaction that did it, and read at the scrape: that is exact
across processes and restarts. Requests are counted in the API's process. Label values come from closed sets or from the
operator's accounts and rules, never from a log. Counters start at 0, so that the first increment is visible.
`giftpulse_up` shows components that could not be checked.
"""

import json
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from sqlalchemy import event, text
from sqlalchemy.orm import Session, SessionTransaction

from app.bulk import Unnest
from app.enums import ActionType, AttemptOutcome, HoldReason, LogSource, LogType, Severity

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]

MAX_HEARTBEAT_AGE = timedelta(seconds=60)
"""A worker or beat that reported longer ago is down. They report every ten seconds."""
COUNTER_SHARDS = 8
"""Each counter has this many rows, so that processes seldom wait for each other."""
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
    "Quarantined records of Twilio, each counted once.",
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
    bound = bound_text(instrument.buckets[bucket]) if bucket < len(instrument.buckets) else "+Inf"
    return {(f"{name}_bucket", tuple(sorted((*pairs, ("le", bound))))): 1.0, (f"{name}_sum", pairs): seconds}


def bound_text(value: float) -> str:
    """Write the bound of a bucket as Prometheus does."""
    return repr(float(value))


_ADDED = Unnest("added", name="text", labels="text", value="float8")
_ADD = text(
    "INSERT INTO counters AS kept (name, labels, part, value)"
    f" SELECT name, labels, :part, value FROM {_ADDED}"
    " ON CONFLICT (name, labels, part) DO UPDATE SET value = kept.value + excluded.value"
)
_PENDING = "counters"
"""Where a session keeps the increments of its transaction, each with the savepoint in which it was counted."""


def count(session: Session, increments: Mapping[Key, float]) -> None:
    """Add to the counters when the caller's transaction commits.

    A transaction locks their rows last, all at once and in the order of their keys, so that they cause no deadlock.
    """
    if increments:
        session.connection()  # begins the transaction, if nothing has
        session.info.setdefault(_PENDING, []).append((session.get_nested_transaction(), increments))


@event.listens_for(Session, "before_commit")
def _write_pending(session: Session) -> None:
    if _PENDING not in session.info or session.in_nested_transaction():
        return  # SQLAlchemy reports the release of a savepoint as a commit, too
    total: defaultdict[Key, float] = defaultdict(float)
    for _, increments in session.info.pop(_PENDING):
        for key, value in increments.items():
            total[key] += value
    rows = sorted((name, json.dumps(dict(pairs), sort_keys=True), value) for (name, pairs), value in total.items())
    session.flush()
    session.execute(_ADD, {"part": os.getpid() % COUNTER_SHARDS, **_ADDED.values(rows)})


@event.listens_for(Session, "after_soft_rollback")
def _drop_pending(session: Session, rolled_back: SessionTransaction) -> None:
    """Drop what was counted in a transaction, or in a savepoint and those within it."""
    if pending := session.info.pop(_PENDING, None):
        kept = [each for each in pending if rolled_back.nested and not _is_within(each[0], rolled_back)]
        session.info.update({_PENDING: kept} if kept else {})


def _is_within(savepoint: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while savepoint is not None and savepoint is not outer:
        savepoint = savepoint.parent
    return savepoint is outer
