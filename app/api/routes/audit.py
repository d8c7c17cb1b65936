"""The audit: who changed what."""

from typing import Annotated

from fastapi import Query, Response

from app.api.lists import page_response, read_position
from app.api.routing import make_router
from app.api.schemas.audit import AuditFilters, AuditPage
from app.api.security import ADMIN
from app.database import session_scope
from app.services import audit
from app.services.serializers import audit_json

router = make_router("Audit", prefix="/api/audit")


@router.get("", response_model=AuditPage, summary="List audit entries", dependencies=ADMIN)
def list_audit(query: Annotated[AuditFilters, Query()]) -> Response:
    """List who changed what, newest first. Entries are kept for at least 365 days."""
    with session_scope() as session:
        position = read_position("audit", query, audit.SORT_KEY)
        page = audit.list_entries(session, query.to_filter(), position, query.limit)
        return page_response("audit", query, [audit_json(entry) for entry in page.items], page.older)
