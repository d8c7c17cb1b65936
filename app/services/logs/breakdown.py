"""Breaks the logs of a span down by a field: how many, how many were delivered, how fast, and what they cost.

The database counts logs that are alike; the figures are computed from these counts, and are exact.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import OTHER_VALUE
from app.errors import FieldError, InvalidInput, StatementTimeout
from app.services.logs.cells import NARROW, Cell, CellReader, Delay, Value
from app.services.logs.search import LogFilter
from app.services.spans import check_span
from app.utils.calendar_edges import shift
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

MAX_SPAN = timedelta(days=92)
MAX_SECONDS = 20
MAX_VALUES = 1_000
"""Rarer values are combined as `__other__`."""
TOO_LONG = f"takes longer than {MAX_SECONDS} seconds: {NARROW}"
P50, P95 = 0.5, 0.95


@dataclass
class Breakdown:
    """The logs with one value."""

    value: Value
    total: int = 0
    final: int = 0
    """Final outbound messages."""
    delivered: int = 0
    final_before: int | None = 0
    """None here and below: the span before was not completely read."""
    delivered_before: int | None = 0
    seconds: Counter[int] = field(default_factory=Counter)
    """From creation to the final status, of the messages that were seen in time."""
    codes: Counter[int] = field(default_factory=Counter)
    price: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    priced: Counter[str] = field(default_factory=Counter)
    """Delivered messages whose price is known, by unit."""

    @property
    def delivered_share(self) -> float | None:
        """The share of the final outbound messages that were delivered; None without any."""
        return self.delivered / self.final if self.final else None

    @property
    def delivered_share_before(self) -> float | None:
        """The same for the span before."""
        if not self.final_before or self.delivered_before is None:
            return None
        return self.delivered_before / self.final_before

    @property
    def price_per_delivered(self) -> dict[str, Decimal]:
        """The total known price per delivered message whose price is known, by unit: Twilio sets prices late."""
        return {unit: self.price[unit] / delivered for unit, delivered in sorted(self.priced.items())}

    @property
    def top_error_code(self) -> int | None:
        """The most frequent code; the lowest of several."""
        return min(self.codes, key=lambda code: (-self.codes[code], code), default=None)

    def percentile(self, fraction: float) -> float | None:
        """Return a percentile of the known times to the final status, interpolated as `percentile_cont`."""
        if not self.seconds:
            return None
        position = fraction * (self.seconds.total() - 1)
        low, high = (self._nth(rank) for rank in (math.floor(position), math.ceil(position)))
        return low + (high - low) * (position - math.floor(position))

    def _nth(self, rank: int) -> int:
        """Return the time at a rank, counted from 0, among all in order."""
        passed = 0
        for seconds, logs in sorted(self.seconds.items()):
            passed += logs
            if rank < passed:
                return seconds
        raise IndexError(rank)

    def add(self, cell: Cell) -> None:
        """Count logs of the span."""
        self.total += cell.logs
        self.final += cell.logs if cell.measured else 0
        self.delivered += cell.logs if cell.delivered else 0
        if cell.seconds is not None:
            self.seconds[cell.seconds] += cell.logs
        if cell.error_code is not None:
            self.codes[cell.error_code] += cell.logs
        if cell.price_unit is not None:
            self.price[cell.price_unit] += cell.price
            if cell.delivered:
                self.priced[cell.price_unit] += cell.logs

    def add_before(self, final: int, delivered: int) -> None:
        """Count messages of the span before."""
        self.final_before = (self.final_before or 0) + final
        self.delivered_before = (self.delivered_before or 0) + delivered


def break_down(session: Session, log_filter: LogFilter, by: str) -> list[Breakdown]:
    """Break the logs of a span down by the values of a field.

    Args:    log_filter: with `since` and `until`; by: of `BreakdownField`.
    Returns: the value with the most logs first; last, as `__other__`, the values beyond 1,000.
    Raises:  InvalidInput if the span is empty or too long, holds too many different values, or takes too long.
    """
    assert log_filter.since is not None
    assert log_filter.until is not None
    check_span(log_filter.since, log_filter.until, MAX_SPAN)
    reader = CellReader(session, by)
    try:
        with limit_statements(session, MAX_SECONDS):
            # The planner expects far more groups than there are, and would sort the logs.
            session.execute(text("SET LOCAL work_mem = '64MB'; SET LOCAL enable_sort = off"))
            cells, delays = reader.cells(log_filter)
            before = list(reader.delivered(span_before(log_filter)))
    except StatementTimeout:
        raise InvalidInput([FieldError("since", TOO_LONG)]) from None
    return _breakdowns(cells, delays, before)


def span_before(log_filter: LogFilter) -> LogFilter:
    """Return the same filter for the span of the same length before."""
    assert log_filter.since is not None
    assert log_filter.until is not None
    since, length = log_filter.since, log_filter.until - log_filter.since
    return replace(log_filter, since=shift(since, -length), until=since)


def _breakdowns(
    cells: Sequence[Cell], delays: Sequence[Delay], before: Sequence[tuple[Value, int, int]]
) -> list[Breakdown]:
    """Add up the cells of each value, and of all rare values together."""
    totals: Counter[Value] = Counter()
    for cell in cells:
        totals[cell.value] += cell.logs
    ordered = sorted(totals, key=lambda value: (-totals[value], str(value)))
    found = {value: Breakdown(value) for value in ordered[:MAX_VALUES]}
    others = Breakdown(OTHER_VALUE)
    for cell in cells:
        found.get(cell.value, others).add(cell)
    for delay in delays:
        found.get(delay.value, others).seconds[delay.seconds] += delay.logs
    for value, final, delivered in before:
        if value in totals:
            found.get(value, others).add_before(final, delivered)
    return [*found.values(), *([others] if others.total else [])]


def to_json(each: Breakdown) -> JsonObject:
    """Serialize the figures of one value. Amounts are decimal texts: floats would change them."""
    p50, p95 = each.percentile(P50), each.percentile(P95)
    return {
        "value": each.value,
        "total": each.total,
        "final": each.final,
        "final_before": each.final_before,
        "delivered_share": _rounded(each.delivered_share, 4),
        "delivered_share_before": _rounded(each.delivered_share_before, 4),
        "p50_seconds": _rounded(p50, 3),
        "p95_seconds": _rounded(p95, 3),
        "top_error_code": each.top_error_code,
        "price": {unit: format(price, "f") for unit, price in sorted(each.price.items())},
        "price_per_delivered": {unit: f"{price:.6f}" for unit, price in each.price_per_delivered.items()},
    }


def span_json(log_filter: LogFilter) -> JsonObject:
    """Serialize the span."""
    assert log_filter.since is not None
    assert log_filter.until is not None
    return {"since": rfc3339(log_filter.since), "until": rfc3339(log_filter.until)}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
