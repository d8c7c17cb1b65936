"""Runs one operation on an alert and records it in the audit, for the API and the console."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.security import Principal
from app.models import Alert
from app.services.alerts import search
from app.services.serializers import alert_json
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject

Operation = Callable[[Session, UUID, datetime], Alert]
"""Changes an alert now, and returns it."""


class Operated(NamedTuple):
    """An alert before and after an operation."""

    before: JsonObject
    after: JsonObject


def operate(
    session: Session,
    caller: Principal,
    alert_id: UUID,
    action: str,
    operation: Operation,
    *,
    check: Callable[[JsonObject], None] = lambda _: None,
    also: Mapping[str, Any] | None = None,
) -> Operated:
    """Lock an alert, change it, and write the entry of the audit.

    Args:
        check: refuses the alert as it is before.
        also: goes into the entry besides the alert: a second acknowledgement changes little else.

    Raises: NotFound; what `check` and `operation` raise.
    """
    before = alert_json(search.get(session, alert_id, lock=True))
    check(before)
    change = AuditedChange(session, caller, f"alert:{alert_id}", before)
    after = alert_json(operation(session, alert_id, utc_now()))
    change.record(action, after | dict(also or {}))
    return Operated(before, after)
