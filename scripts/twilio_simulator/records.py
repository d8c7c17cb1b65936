"""A record of the simulator: its current fields, when lists show it, and its versions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from scripts.twilio_simulator import wire
from scripts.twilio_simulator.wire import Fields, Kind

SORTED_BY = {Kind.MESSAGE: "date_sent", Kind.ERROR: "date_created"}
"""The time that lists are sorted by; calls are sorted by their creation."""


@dataclass(frozen=True, slots=True)
class Version:
    """The content of a record from a time on."""

    at: datetime
    status: str | None
    error_code: int | str | None


@dataclass(frozen=True)
class Emitted:
    """A record with its context, for comparing what was read with what there was."""

    kind: Kind
    account_sid: str
    sid: str
    record: Any
    """As a single read shows it: decoded JSON; of an odd record any bytes."""
    created_at: datetime
    visible_at: datetime
    removed: bool
    versions: tuple[Version, ...]
    """Oldest first; of bulk records only the last."""

    def json(self) -> Fields:
        """Serialize it for the control API."""
        return {
            "log_type": self.kind.log_type,
            "account_sid": self.account_sid,
            "sid": self.sid,
            "record": self.record,
            "created_at": self.created_at.isoformat(),
            "visible_at": self.visible_at.isoformat(),
            "removed": self.removed,
            "versions": [[v.at.isoformat(), v.status, v.error_code] for v in self.versions],
        }


class Record:
    """A call, a message or an error-log entry."""

    __slots__ = (
        "_encoded",
        "_fields",
        "account_sid",
        "created_at",
        "kind",
        "number",
        "odd",
        "removed",
        "sid",
        "versions",
        "visible_at",
    )

    def __init__(
        self, kind: Kind, fields: Fields, created_at: datetime, visible_at: datetime, odd: bytes | None = None
    ) -> None:
        """Store a record.

        Args: odd: bytes to show in lists and single reads instead of the fields.
        """
        self.kind, self.created_at, self.odd = kind, created_at, odd
        self.visible_at = visible_at.timestamp()
        self._fields: Fields | None = fields
        self.account_sid: str = fields["account_sid"]
        self.sid: str = fields["sid"]
        self.number = 0
        self.removed = False
        self._encoded: bytes | None = odd
        self.versions: list[Version] = []
        self._remember(created_at)

    @property
    def fields(self) -> Fields:
        """The current fields by their wire names."""
        if self._fields is None:
            self._fields = self._decoded()
        return self._fields

    def _decoded(self) -> Fields:
        raise NotImplementedError

    def change(self, at: datetime, changes: Mapping[str, Any]) -> None:
        """Update some fields, and `date_updated` unless it is given."""
        self._fields = self.fields | {"date_updated": at} | dict(changes)
        self._encoded, self.odd = None, None
        self._remember(at)

    def _remember(self, at: datetime) -> None:
        self.versions.append(Version(at, self.fields.get("status"), self.fields.get("error_code")))

    def listed(self) -> bytes:
        """Return the record as lists show it, encoded once."""
        if self._encoded is None:
            shown = self.fields
            if self.kind is Kind.ERROR:
                shown = {name: value for name, value in shown.items() if name not in wire.DETAIL_ONLY}
            self._encoded = wire.encode(self.kind, shown)
        return self._encoded

    def single(self) -> bytes:
        """Return the record as a read by its sid shows it."""
        if self.odd is not None or self.kind is not Kind.ERROR:
            return self.listed()
        return wire.encode(self.kind, self.fields)

    def value(self, name: str) -> Any:
        """Return a field that is not a time."""
        return self.fields.get(name)

    def moment(self, name: str) -> float | None:
        """Return a time in seconds since the epoch; None if it is missing or invalid."""
        at = self.fields.get(name)
        return at.timestamp() if isinstance(at, datetime) else None

    def sort_key(self) -> float:
        """Return its position in its list: the time that the list is sorted by, or else its creation."""
        at = self.moment(SORTED_BY[self.kind]) if self.kind in SORTED_BY else None
        return self.created_at.timestamp() if at is None else at

    def emitted(self) -> Emitted:
        """Describe it for the reference evaluator."""
        return Emitted(
            kind=self.kind,
            account_sid=self.account_sid,
            sid=self.sid,
            record=json.loads(self.single()),
            created_at=self.created_at,
            visible_at=datetime.fromtimestamp(self.visible_at, UTC),
            removed=self.removed,
            versions=tuple(self.versions),
        )


class EncodedMessage(Record):
    """A message stored as JSON only until more is needed: there may be hundreds of thousands."""

    __slots__ = ()

    def __init__(self, account_sid: str, sid: str, sent_at: datetime, encoded: bytes) -> None:
        """Store a message that was created and sent at the same time."""
        self.kind, self.account_sid, self.sid, self.created_at = Kind.MESSAGE, account_sid, sid, sent_at
        self.visible_at = sent_at.timestamp()
        self.odd, self.number, self.removed = None, 0, False
        self._encoded, self._fields = encoded, None
        self.versions = []

    def _decoded(self) -> Fields:
        assert self._encoded is not None
        fields: Fields = json.loads(self._encoded)
        moments = {name: parsedate_to_datetime(fields[name]) for name in ("date_created", "date_sent", "date_updated")}
        return fields | moments

    def change(self, at: datetime, changes: Mapping[str, Any]) -> None:
        """Update some fields."""
        if not self.versions:
            self._remember(self.created_at)
        super().change(at, changes)

    def moment(self, name: str) -> float | None:
        """Return a time in seconds since the epoch."""
        return self.visible_at if self._fields is None and name == "date_sent" else super().moment(name)

    def emitted(self) -> Emitted:
        """Describe it for the reference evaluator."""
        if not self.versions:
            self._remember(self.created_at)
        return super().emitted()
