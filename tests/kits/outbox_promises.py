"""What must hold of the outbox at every moment, judged by its rows alone and by what the network saw."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from app.database import session_scope
from app.enums import AttemptOutcome, NotificationType
from app.services.outbox import digest, limits

Row = dict[str, Any]
Sent = Mapping[str, list[bytes]]
"""What went out over the network, by the id of the delivery."""


class Promises:
    """Compares each moment with the one before."""

    def __init__(self) -> None:
        self.frozen: dict[UUID, tuple[Any, ...]] = {}
        """What a delivery says, as it was made."""
        self.attempts: dict[int, tuple[Any, ...]] = {}
        """Attempts that are closed: nothing changes them any more."""

    def check(self, rows: list[Row], existing: set[UUID], now: datetime, sent: Sent) -> None:
        """Check all.

        Args:    existing: the ids of the actions that there are.
        """
        self._nothing_is_dropped_or_changed(rows)
        self._states_make_sense(rows, existing)
        self._attempts_are_complete(rows, sent)
        self._limits_hold(rows, now)
        self._folded_are_told_once(rows)
        for delivery_id, bodies in sent.items():
            assert len(set(bodies)) == 1, f"{delivery_id}: a repeat is the same, byte for byte"

    def _nothing_is_dropped_or_changed(self, rows: list[Row]) -> None:
        now = {
            row["id"]: (row["alert_id"], row["type"], row["recipient"], orjson.dumps(row["content"]), row["created_at"])
            for row in rows
        }
        assert {key: now.get(key) for key in self.frozen} == self.frozen
        self.frozen = now

    def _states_make_sense(self, rows: list[Row], existing: set[UUID]) -> None:
        for row in rows:
            pending = row["status"] == "pending"
            assert pending == (row["next_attempt_at"] is not None), "it ends, or is due at some time"
            assert pending or row["lease_token"] is None
            assert (row["finished_at"] is None) == (pending or (row["status"] == "folded" and not row["digest_id"]))
            if row["action_id"] not in existing:
                assert row["status"] != "folded" or row["digest_id"], "nobody will tell of it: it must not wait"

    def _attempts_are_complete(self, rows: list[Row], sent: Sent) -> None:
        with session_scope() as session:
            stored = list(session.execute(text("SELECT * FROM attempts ORDER BY id")).mappings())
        made: Counter[UUID] = Counter()
        for attempt in stored:
            # An attempt that says why nothing was tried carries the delivery's id in place of a lease's token.
            made[attempt["delivery_id"]] += attempt["token"] != attempt["delivery_id"]
            assert (attempt["duration_ms"] is None) == (attempt["outcome"] in ("started", "unknown"))
        for row in rows:
            assert row["attempt_count"] == made[row["id"]], "every attempt is counted once"
            assert len(sent.get(str(row["id"]), [])) <= row["attempt_count"]
            if row["status"] == "succeeded":
                assert sent.get(str(row["id"])), "it succeeded because somebody took it"
        closed = {each["id"]: tuple(each.values()) for each in stored if each["outcome"] != AttemptOutcome.STARTED}
        assert self.attempts.items() <= closed.items(), "what is on record stays as it is"
        self.attempts = closed

    def _limits_hold(self, rows: list[Row], now: datetime) -> None:
        tests = {NotificationType.TEST}
        live = Counter(
            row["action_id"]
            for row in rows
            if row["lease_until"] and row["lease_until"] >= now and row["type"] not in tests
        )
        assert all(number <= limits.MAX_CONCURRENT for number in live.values())
        by_action: dict[UUID, set[tuple[Any, ...]]] = defaultdict(set)
        for row in rows:
            by_itself = "headline" not in row["content"] and row["type"] not in ("alert.digest", "action.test")
            if by_itself:
                by_action[row["action_id"]].add((row["created_at"], row["alert_id"], row["type"]))
        for sent_rows in by_action.values():
            times = [at for at, *_ in sent_rows]
            for end in times:
                within = [at for at in times if end - digest.WINDOW < at <= end]
                assert len(within) <= digest.MAX_NOTIFICATIONS, "the storm cap holds"

    def _folded_are_told_once(self, rows: list[Row]) -> None:
        sent_rows: dict[UUID, list[Row]] = defaultdict(list)
        for row in rows:
            if row["digest_id"]:
                sent_rows[row["digest_id"]].append(row)
        by_id = {row["id"]: row for row in rows}
        for digest_id, folded in sent_rows.items():
            assert by_id[digest_id]["type"] == NotificationType.DIGEST
            assert {(row["action_id"], row["recipient"], row["status"]) for row in folded} == {
                (by_id[digest_id]["action_id"], by_id[digest_id]["recipient"], "folded")
            }
            content = by_id[digest_id]["content"]
            shown = content["body"] if "body" in content else content["subject"]
            wanted = f'"count":{len(folded)}' if "body" in content else f"{len(folded)} more"
            assert wanted in shown, "a digest says how many it tells of"
        assert all(row["id"] in sent_rows for row in rows if row["type"] == NotificationType.DIGEST)
