"""Where messages fail, by country or by sender, compared with the usual."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.api.console.links import link
from app.api.console.traffic import FAILED, RANGES, WEEK
from app.database import session_scope
from app.enums import OTHER_VALUE, LogType
from app.services.ingest import coverage
from app.services.logs import stats
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import NONE, WITH_NONE, LogFilter
from app.utils.clock import cut_to_second, utc_now
from app.utils.countries import country

DIMENSIONS = {"country": ("Destination", "to_country"), "sender": ("Sender", "from")}
"""What messages are compared by: the heading of the column, and the field."""
MAX_ROWS = 6
MIN_USUAL = 20
"""With fewer messages in the week before, nothing is usual."""
MUCH, WORSE, LEAST_USUAL, MIN_FAILED = 0.05, 1.5, 0.005, 5


@dataclass(frozen=True)
class FailureRow:
    """The messages sent to one country, or by one sender."""

    label: str
    href: str
    """The address of its logs; empty if no filter finds them."""
    total: int
    failed: int
    usual: float | None
    """The share that failed in the week before; None if that was not completely read or too few were sent."""

    @property
    def share(self) -> float:
        """The share that failed."""
        return self.failed / self.total

    @property
    def is_worse(self) -> bool:
        """Far more fail than usual; without a usual share, far too many."""
        if self.usual is None:
            return self.share > MUCH
        return self.failed >= MIN_FAILED and self.share > WORSE * max(self.usual, LEAST_USUAL)


def read_failures(name: str, by: str) -> Sequence[FailureRow]:
    """Read where messages fail most in a range of the overview, which ends now.

    Args:    by: of `DIMENSIONS`.
    """
    until, field = cut_to_second(utc_now()), DIMENSIONS[by][1]
    since = until - RANGES[name].length
    with session_scope() as session:
        snapshot = stats.Snapshot(session)
        usual = _usual(session, snapshot, since, field)
        totals, failed = _outcomes(snapshot, since, until, field)
    rows = [
        FailureRow(_label(value, field), _logs(value, field, since, until), total, failed[value], usual.get(value))
        for value, total in totals.items()
        if value != OTHER_VALUE
    ]
    return sorted(rows, key=lambda row: (-row.failed, -row.total))[:MAX_ROWS]


def _usual(session: Session, snapshot: stats.Snapshot, until: datetime, field: str) -> Mapping[str | None, float]:
    """Return the share that failed in the week before a time; empty if that was not completely read."""
    since = until - WEEK
    if any(each.item.log_type == LogType.MESSAGE for each in coverage.unread(session, since, until)):
        return {}
    totals, failed = _outcomes(snapshot, since, until, field)
    return {value: failed[value] / total for value, total in totals.items() if total >= MIN_USUAL}


def _outcomes(
    snapshot: stats.Snapshot, since: datetime, until: datetime, field: str
) -> tuple[Counter[str | None], Counter[str | None]]:
    """Count the messages sent, and those of them that failed."""
    sent = LogFilter(log_type=(LogType.MESSAGE,), direction=OUTBOUND[LogType.MESSAGE], since=since, until=until)
    return _count(snapshot, sent, field), _count(snapshot, replace(sent, status=FAILED), field)


def _count(snapshot: stats.Snapshot, wanted: LogFilter, field: str) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for each in snapshot.count(wanted, "day", field):
        found[None if each.value is None else str(each.value)] += each.count
    return found


def _label(value: str | None, field: str) -> str:
    return country(value) if field == "to_country" else value or "no sender"


def _logs(value: str | None, field: str, since: datetime, until: datetime) -> str:
    if value is None and field not in WITH_NONE:
        return ""
    wanted = {"log_type": LogType.MESSAGE, "direction": OUTBOUND[LogType.MESSAGE], f"{field}_": value or NONE}
    return link("/logs", **wanted, since=since, until=until)
