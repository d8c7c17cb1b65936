"""The audit: who changed what."""

from typing import Annotated

from fastapi import Query, Response
from sqlalchemy import select

from app.api.lists import answer_page, narrowed
from app.api.routing import make_router
from app.api.schemas.audit import AuditFilters, AuditPage
from app.api.security import ADMIN
from app.database import session_scope
from app.models import AuditEntry
from app.services.snapshots import audit_json

router = make_router("Audit", prefix="/api/audit")
PLACE = (AuditEntry.at, AuditEntry.id)


@router.get("", response_model=AuditPage, summary="List changes", dependencies=ADMIN)
def list_audit(query: Annotated[AuditFilters, Query()]) -> Response:
    """List what was changed, by whom, newest first. Entries are kept for 365 days at least."""
    statement = select(AuditEntry.at, AuditEntry.id, AuditEntry)
    if query.target is not None:
        statement = statement.where(AuditEntry.target == query.target)
    statement = narrowed(statement, {}, AuditEntry.at, query.since, query.until)
    with session_scope() as session:
        return answer_page(session, "audit", statement, PLACE, query, lambda row: audit_json(row.AuditEntry))
