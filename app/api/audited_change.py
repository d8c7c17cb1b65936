"""Records changes made through the API in the audit, with the state before and after."""

from sqlalchemy.orm import Session

from app.api.deps import request_id
from app.api.security import Principal
from app.services import audit
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject


class AuditedChange:
    """One change to one resource, by one caller, in one transaction."""

    def __init__(self, session: Session, caller: Principal, target: str, before: JsonObject | None = None) -> None:
        self._session = session
        self._caller = caller
        self._target = target
        self._before = before

    def record(self, action: str, after: JsonObject | None) -> None:
        """Write the entry. Secrets in `before` and `after` must be fingerprints or masked."""
        audit.record(
            self._session, self._caller.name, action, self._target, self._before, after, utc_now(), request_id()
        )
