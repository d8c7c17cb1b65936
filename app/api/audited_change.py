"""Records changes made through the API in the audit, with the state before and after."""

from sqlalchemy.orm import Session

from app.api.deps import request_id
from app.api.security import Principal
from app.config import Settings
from app.models import Rule
from app.services import audit, rule_admin
from app.services.serializers import rule_json
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


def delete_audited(session: Session, caller: Principal, rule: Rule, settings: Settings) -> None:
    """Delete a locked rule; each rule that depended on it changes, and has an entry of its own."""
    AuditedChange(session, caller, f"rule:{rule.id}", rule_json(rule)).record("rule.delete", None)
    dependents = rule_admin.dependents(session, rule.id)
    changes = [AuditedChange(session, caller, f"rule:{each.id}", rule_json(each)) for each in dependents]
    rule_admin.delete(session, rule.id, settings, utc_now())
    for change, each in zip(changes, dependents, strict=True):
        change.record("rule.update", rule_json(each))
