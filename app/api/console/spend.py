"""The cost of outbound messages and calls of the last 24 hours by country, compared with the usual."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.api.console.links import link
from app.database import limit_statements, session_scope
from app.errors import StatementTimeout
from app.services.fraud import watch
from app.services.fraud.weeks import Comparison
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import NONE
from app.utils.clock import cut_to_second, utc_now

SPAN = timedelta(hours=24)
KEEP_SECONDS = 60.0
"""Prices come late, so the sums change slowly."""
MAX_SECONDS = 2
MAX_ROWS = 6


@dataclass(frozen=True)
class SpendRow:
    """What one type of logs to one country cost in one currency."""

    log_type: str
    to_country: str | None
    unit: str
    figures: Comparison
    href: str


def read_spend() -> Sequence[SpendRow]:
    """List the highest costs; empty if no price is known, or if adding up takes too long."""
    until = cut_to_second(utc_now())
    since = until - SPAN
    try:
        with session_scope() as session, limit_statements(session, MAX_SECONDS):
            found = watch.compare_spend(session, since, until)
    except StatementTimeout:
        return []
    span = {"since": since, "until": until}
    return [
        SpendRow(
            key.log_type, key.to_country, key.price_unit or "", figures,
            link(
                "/logs", log_type=key.log_type, direction=OUTBOUND[key.log_type], to_country=key.to_country or NONE,
                **span,
            ),
        )
        for key, figures in [*found.items()][:MAX_ROWS]
    ]  # fmt: skip
