"""Reads the stored logs of a preview, in as few rows as the rule allows. The pattern index finds matches.

Logs with equal values in all fields that the rule uses are combined in one row with their number.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database import limit_statements
from app.errors import FieldError, InvalidInput, StatementTimeout
from app.services.evaluation.minute_counts import minute_end
from app.services.preview import queries
from app.services.preview.deadline import NARROW, TOO_LONG, Deadline
from app.services.preview.queries import STATES, VERSIONS, Values, group_by, minute, select
from app.services.rules.groups import group_key_of
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion

MAX_ROWS = 300_000
"""The matches that a preview loads individually."""
MAX_COUNTS = 600_000
"""The minutes, by all fields that the rule uses, that the database counts for a preview."""
MAX_SCANNED = 1_500_000
"""The logs that a preview checks for texts or expressions."""
CHUNK = 10_000
MAX_LIFETIME = timedelta(days=37)
"""A log may change this long after it occurred: Twilio schedules messages up to 35 days ahead."""
TOO_MANY = f"is too far back: a preview takes in {MAX_ROWS:,} matches one by one; {NARROW}"
TOO_MANY_COUNTS = f"is too far back: a preview takes in {MAX_COUNTS:,} minutes of groups; {NARROW}, or group by less"
TOO_MUCH_TEXT = f"is too far back: a preview looks at the texts of {MAX_SCANNED:,} logs; {NARROW}"


class LogBucket(NamedTuple):
    """The logs of one minute with equal values in all fields that the rule uses."""

    log: LogVersion
    minute: datetime
    """The end of the minute."""
    number: int
    """The number of logs."""
    amount: Decimal
    """For `sum`: the total of its field."""
    matches: bool

    def plus(self, other: "LogBucket") -> "LogBucket":
        """Combine two buckets with equal fields."""
        return self._replace(number=self.number + other.number, amount=self.amount + other.amount)


class KnownMatch(NamedTuple):
    """Logs of one group and value that matched before the span."""

    log: LogVersion
    first_at: datetime
    last_at: datetime


class LogReader:
    """Reads for one rule, in a read-only transaction."""

    def __init__(self, session: Session, rule: Rule, deadline: Deadline) -> None:
        self._session, self._rule, self._deadline = session, rule, deadline
        self._index = RuleIndex([rule])
        self._fields = queries.fields_of(rule)
        self._population, self._values = queries.population(rule)
        self._pattern, values = queries.pattern(rule)
        self._values |= values
        session.execute(text("SET LOCAL transaction_read_only = on"))
        session.execute(text("SET LOCAL work_mem = '64MB'"))

    def population(self, since: datetime, until: datetime, bucket: timedelta) -> dict[datetime, int]:
        """Count the logs of the population in [since, until) by bucket; for `ratio`, only final ones."""
        final = " AND final" if self._rule.condition.counts_final else ""
        rows = self._rows(
            f"SELECT date_bin(:bucket, occurred_at, :since), count(*) FROM {STATES} WHERE {self._occurred}{final}"
            " GROUP BY 1",
            {"since": since, "until": until, "bucket": bucket},
        )
        return {row[0]: row[1] for row in rows}

    def first_matches(self, since: datetime, until: datetime) -> Iterator[LogVersion]:
        """Read the first matching version of each log that reached that state in [since, until)."""
        fields = {*self._fields, "change_id", "log_id", "sid", "occurred_at", "changed_at"}
        query = f"{select(fields)} FROM {self._firsts}"
        first: dict[int, LogVersion] = {}
        for version in self._matching(self._scan(query, {"since": since, "until": until})):
            known = first.get(version.log_id)
            if known is None or version.change_id < known.change_id:
                first[version.log_id] = version
                if len(first) > MAX_ROWS:
                    raise InvalidInput([FieldError("since", TOO_MANY)])
        yield from first.values()

    def known_matches(self, since: datetime, until: datetime) -> Iterator[KnownMatch]:
        """Read matches by group and value, with their first and last time in [since, until)."""
        if not queries.sql_decides(self._rule):
            for version in self.first_matches(since, until):
                yield KnownMatch(version, version.changed_at, version.changed_at)
            return
        query = select(self._fields, "min(changed_at)", "max(changed_at)") + f" FROM {self._firsts}"
        for *values, first_at, last_at in self._rows(query + group_by(self._fields), {"since": since, "until": until}):
            yield KnownMatch(LogVersion(*values), first_at, last_at)

    def first_matches_by_minute(self, since: datetime, until: datetime) -> Iterator[LogBucket]:
        """Count first matching versions by group and by the minute of their change."""
        if not queries.sql_decides(self._rule):
            for version in self.first_matches(since, until):
                yield LogBucket(version, minute_end(version.changed_at), 1, Decimal(0), True)
            return
        at = minute("changed_at")
        query = select(self._fields, at, "count(*)") + f" FROM {self._firsts}"
        for *values, end, count in self._rows(query + group_by(self._fields, at), {"since": since, "until": until}):
            yield LogBucket(LogVersion(*values), end, count, Decimal(0), True)

    def latest_by_minute(self, since: datetime, until: datetime) -> Iterator[LogBucket]:
        """Count the logs in their latest state, by all fields that the rule uses and by the minute they occurred in."""
        at, field = minute("occurred_at"), self._rule.condition.summed_field
        amount = f"coalesce(sum(abs({field})), 0)" if field else "0"
        share = self._rule.condition.counts_final
        fields = {*self._fields, *queries.counted_fields(self._rule)}
        # A `ratio` also counts final logs that do not match, and its alerts name matches that are not final.
        which = "true" if share else self._pattern
        where = f" FROM {STATES} WHERE {self._occurred} AND {which}"
        values = {"since": since, "until": until}
        if queries.sql_decides(self._rule):
            query = select(fields, at, "count(*)", amount) + where + group_by(fields, at) + f" LIMIT {MAX_COUNTS + 1}"
            yield from self._buckets(self._rows(query, values))
            return
        # Texts differ from log to log, so only matches are combined.
        alike: dict[tuple[object, ...], LogBucket] = {}
        amount = f"coalesce(abs({field}), 0)" if field else "0"
        for rows in self._scan(select(fields, at, "1", amount) + where, values):
            for each in self._buckets(rows):
                log = each.log
                key = (group_key_of(self._rule, log), each.minute, log.final, log.price_unit, each.matches)
                before = alike.get(key)
                alike[key] = each if before is None else before.plus(each)
        yield from alike.values()

    def _buckets(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[LogBucket]:
        logs = [LogVersion(*row[:-3]) for row in rows]
        matching = self.matching(logs)
        self._deadline.check()
        for log, row, matches in zip(logs, rows, matching, strict=True):
            yield LogBucket(log, row[-3], row[-2], Decimal(row[-1]), matches)

    def unfinished(self, since: datetime, until: datetime, age: timedelta) -> Iterator[list[LogVersion]]:
        """Read the versions of the logs that were not final at that age, by log, oldest version first."""
        fields = {*self._fields, "change_id", "log_id", "occurred_at", "changed_at", "final"}
        query = (
            f"{select(fields)} FROM {VERSIONS} WHERE {self._population} AND changed_at < :until"
            " AND occurred_at >= :since AND occurred_at < :until"
            " AND (NOT now_final OR now_changed_at > occurred_at + :age)"
            f" ORDER BY log_id, change_id LIMIT {MAX_ROWS + 1}"
        )
        versions: list[LogVersion] = []
        rows = self._rows(query, {"since": since - MAX_LIFETIME, "until": until, "age": age})
        if len(rows) > MAX_ROWS:
            raise InvalidInput([FieldError("since", TOO_MANY)])
        for row in rows:
            version = LogVersion(*row)
            if versions and versions[0].log_id != version.log_id:
                yield versions
                versions = []
            versions.append(version)
        if versions:
            yield versions

    def matching(self, versions: Sequence[LogVersion]) -> list[bool]:
        """Return which of the versions match."""
        return [bool(found) for found in self._index.match_batch(versions)]

    def _matching(self, chunks: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[LogVersion]:
        for rows in chunks:
            versions = [LogVersion(*row) for row in rows]
            yield from (version for version, hit in zip(versions, self.matching(versions), strict=True) if hit)

    @property
    def _occurred(self) -> str:
        return f"occurred_at >= :since AND occurred_at < :until AND {self._population}"

    @property
    def _firsts(self) -> str:
        """The versions in [since, until) that may match; if SQL decides, the first matching version of each log."""
        decides = queries.sql_decides(self._rule)
        once, order = ("DISTINCT ON (log_id)", " ORDER BY log_id, change_id") if decides else ("", "")
        return (
            f"(SELECT {once} * FROM {VERSIONS} WHERE changed_at >= :since AND changed_at < :until"
            f" AND occurred_at >= CAST(:since AS timestamptz) - interval '{MAX_LIFETIME.days} days'"
            f" AND occurred_at < :until AND {self._population} AND {self._pattern}{order})"
            " AS version"
        )

    def _scan(self, query: str, values: Values) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Read rows to be checked individually, in batches."""
        most, refusal = (MAX_ROWS, TOO_MANY) if queries.sql_decides(self._rule) else (MAX_SCANNED, TOO_MUCH_TEXT)
        scanned = 0
        with self._in_time():
            result = self._session.execute(text(query), self._values | values, execution_options={"yield_per": CHUNK})
            for rows in result.partitions(CHUNK):
                scanned += len(rows)
                if scanned > most:
                    raise InvalidInput([FieldError("since", refusal)])
                self._deadline.check()
                yield cast("Sequence[tuple[Any, ...]]", rows)

    def _rows(self, query: str, values: Values) -> Sequence[tuple[Any, ...]]:
        with self._in_time():
            rows = cast("Sequence[tuple[Any, ...]]", self._session.execute(text(query), self._values | values).all())
        if len(rows) > MAX_COUNTS:
            raise InvalidInput([FieldError("since", TOO_MANY_COUNTS)])
        return rows

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Limit a statement to the remaining time.

        Raises: InvalidInput, for the field `since`, when it is up.
        """
        try:
            with limit_statements(self._session, self._deadline.seconds_left(), restore=False):
                yield
        except StatementTimeout:
            raise InvalidInput([FieldError("since", TOO_LONG)]) from None
