"""One builder for each value that many tests need: every field has a plain default, and a test names what matters."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

from app.enums import PatternType
from app.models import Action, Alert
from app.services.rules.conditions.registry import read_condition
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

MORNING = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
ACCOUNT_SID = "AC" + "0" * 32

_numbers = count(1)


def make_log(**fields: Any) -> LogVersion:
    """An outbound message that was delivered to Great Britain; each has an id and a sid of its own."""
    number = next(_numbers)
    plain: dict[str, Any] = {
        "change_id": number,
        "log_id": number,
        "is_first": True,
        "account_id": 1,
        "account_sid": ACCOUNT_SID,
        "sid": f"SM{number:032x}",
        "log_type": "message",
        "status": "delivered",
        "level": None,
        "direction": "outbound-api",
        "from_": "+14155550100",
        "to": "+447700900123",
        "to_country": "GB",
        "error_code": None,
        "error_message": None,
        "text": "Your parcel is on its way",
        "price": Decimal("-0.0075"),
        "price_unit": "USD",
        "duration_seconds": None,
        "segments": 1,
        "messaging_service_sid": None,
        "resource_sid": None,
        "occurred_at": MORNING,
        "changed_at": MORNING,
        "final": True,
    }
    return LogVersion(**plain | fields)


@dataclass(frozen=True)
class RememberedAlert:
    """What a condition knows of the open alert of a group."""

    started_at: datetime = MORNING
    baseline: float | None = None
    insufficient_since: datetime | None = None
    price_unit: str | None = None


def make_rule(**fields: Any) -> Rule:
    """A rule that every log matches; `filters` may give its values as lists."""
    plain: dict[str, Any] = {
        "id": uuid4(),
        "epoch": 1,
        "name": "Everything",
        "severity": "warning",
        "log_type": "any",
        "filters": {},
        "pattern_type": PatternType.ANY,
        "pattern_value": None,
        "condition": {"type": "each"},
        "group_by": (),
        "schedule": None,
        "started_at": MORNING,
        "resolve_after_minutes": 60,
        "renotify_minutes": 60,
        "cooldown_minutes": 10,
    }
    wanted = plain | fields
    wanted["filters"] = {field: frozenset(values) for field, values in wanted["filters"].items()}
    wanted["condition"] = read_condition(wanted["condition"])
    wanted["pattern_type"] = PatternType(wanted["pattern_type"])
    return Rule(**wanted)


def alert_row(at: datetime, **fields: Any) -> Alert:
    """A firing built-in alert that began at this time, without a group and without logs; not stored yet."""
    plain: dict[str, Any] = {
        "id": uuid4(),
        "fingerprint": str(uuid4()),
        "rule_id": None,
        "rule_name": "Failed calls",
        "severity": "warning",
        "status": "firing",
        "group": {},
        "group_key": "{}",
        "summary": "3 calls failed",
        "started_at": at,
        "last_match_at": at,
        "recorded_at": at,
        "window_from": at,
        "silenced": False,
        "occurrences": 3,
        "sample_sids": [],
        "late": False,
    }
    return Alert(**plain | fields)


def action_row(at: datetime, **fields: Any) -> Action:
    """An email action without a readable configuration, made at this time; not stored yet."""
    plain: dict[str, Any] = {
        "id": uuid4(),
        "action_type": "email",
        "enabled": True,
        "min_severity": "info",
        "notify_on": ["firing"],
        "config": "x",
        "created_at": at,
        "updated_at": at,
    }
    return Action(**plain | fields)
