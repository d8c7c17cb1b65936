"""The rules of a monitor: ten that match, among any number that do not."""

import random
from datetime import timedelta
from typing import Any

from app.config import get_settings
from app.database import session_scope
from app.enums import PatternType
from app.models import Rule
from app.services.outbox import actions
from app.services.rules.definition import columns, parse_rule
from app.utils.clock import utc_now
from benchmarks.match import pattern

SENDER = {"from": ["+14155550123"]}
BY_RECEIVER = {"group_by": ["to"]}
LIVE: list[tuple[str, str, dict[str, Any]]] = [
    ("error_code", "30003,30007", {}),
    ("error_code", "30005,30006", BY_RECEIVER),
    ("error_code", "30000-30999", {"condition": {"type": "ratio", "percent": 20, "window_minutes": 60}}),
    ("error_code", "30008", {"condition": {"type": "new_value", "field": "to_country"}}),
    ("status", "undelivered", {"filters": SENDER}),
    ("status", "failed,undelivered", {"condition": {"type": "threshold", "count": 20, "window_minutes": 10}}),
    ("keyword", "appointment", {"condition": {"type": "threshold", "count": 100, "window_minutes": 5}}),
    ("keyword", "parcel 1", {"condition": {"type": "spike", "factor": 3, "window_minutes": 15}}),
    ("regex", r"\bOrder 0[0-4]\d+ has been paid", {}),
    ("regex", r"code is [12]\d+\.", {"condition": {"type": "no_data", "window_minutes": 30}}),
]
"""They match about four in ten of the simulator's messages."""
THRESHOLD = {"condition": {"type": "threshold", "count": 10, "window_minutes": 15}}


def make_bodies(count: int) -> list[dict[str, Any]]:
    """Create rules: 40 % codes, 20 % statuses, 25 % keywords, 15 % regular expressions; some are thresholds."""
    bodies = [_body(kind, value, more) for kind, value, more in LIVE]
    chance = random.Random(3)
    for number in range(len(LIVE), count):
        kind, value, filters = pattern(chance, number)
        found = {"filters": {field: sorted(values) for field, values in filters.items()}}
        bodies.append(_body(kind, value, found | (THRESHOLD if number % 20 == 0 else {})))
    return bodies[:count]


def _body(kind: str, value: str, more: dict[str, Any]) -> dict[str, Any]:
    named = {"name": f"{kind} {value}"[:200], "log_type": "message", "renotify_minutes": None}
    return {**named, "pattern_type": PatternType(kind).value, "pattern_value": value, **more}


def add_rules(count: int) -> None:
    """Store rules as if created two days ago, and two webhooks for every alert."""
    now = utc_now()
    made_at = now - timedelta(days=2)
    times = {"started_at": made_at, "created_at": made_at, "updated_at": made_at}
    with session_scope() as session:
        session.add_all(Rule(**columns(parse_rule(body)), **times) for body in make_bodies(count))
        for name in ("a", "b"):
            url = f"http://127.0.0.1:9/{name}"
            actions.create(
                session, {"rule_id": None, "action_type": "webhook", "config": {"url": url}}, get_settings(), now
            )
