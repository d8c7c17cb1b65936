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

    def forget(self, ids: set[UUID]) -> None:
        """These were taken out of a bundle, or were held and told anew."""
        for each in ids:
            del self.frozen[each]

    def check(self, rows: list[Row], existing: set[UUID], now: datetime, sent: Sent) -> None:
        """Check all.

        Args:    existing: the ids of the actions that there are.
        """
        self._nothing_is_dropped_or_changed(rows)
        self._states_make_sense(rows, existing)
        self._attempts_are_complete(rows, sent)
        self._limits_hold(rows, now)
        self._folded_are_told_once(rows)
        self._bundles_wait(rows)
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
            assert row["held_by"] is None or row["bundle_until"] is not None, "only what waits in a bundle is held"
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
            bundled = row["bundle_item"] is not None
            by_itself = not bundled and "headline" not in row["content"] and row["type"] != "action.test"
            by_itself = by_itself and row["type"] != "alert.digest"
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
            in_words = f"{len(folded)} more" if by_id[digest_id]["bundle_item"] is None else f"{len(folded)} alerts"
            wanted = f'"count":{len(folded)}' if "body" in content else in_words
            assert wanted in shown, "a digest says how many it tells of"
        assert all(row["id"] in sent_rows for row in rows if row["type"] == NotificationType.DIGEST)

    def _bundles_wait(self, rows: list[Row]) -> None:
        """What waits in a bundle is a firing that nobody tried; one receiver waits in one bundle at a time."""
        open_until: dict[tuple[Any, ...], set[datetime]] = defaultdict(set)
        for row in rows:
            if row["bundle_until"] is not None:
                assert (row["type"], row["status"]) == (NotificationType.FIRING, "pending")
                assert (row["attempt_count"], row["lease_token"]) == (0, None)
                assert row["next_attempt_at"] == row["bundle_until"]
                open_until[row["action_id"], row["bundle_until"]].add(row["created_at"])
        for (_, until), created in open_until.items():
            assert max(created) < until
        told_alone = [row for row in rows if row["bundle_item"] == {}]
        for each in told_alone:
            inside = [row for row in rows if row["digest_id"] == each["id"]]
            assert len(inside) > 1, "one alone goes out as itself"
            assert all(row["type"] == NotificationType.FIRING for row in inside)
