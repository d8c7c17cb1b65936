"""The database keeps the audit as it is."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.database import session_scope
from app.services import audit
from app.utils.clock import utc_now


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET by = 'x'", "DELETE FROM audit_entries"])
@pytest.mark.usefixtures("database")
def test_an_entry_cannot_be_changed_or_deleted_within_a_year(statement: str) -> None:
    with session_scope() as session:
        audit.record(session, "a", "rule.create", "rule:1", None, {}, utc_now() - timedelta(days=364))
    with pytest.raises(DBAPIError, match="365 days"), session_scope() as session:
        session.execute(text(statement))


@pytest.mark.usefixtures("database")
def test_an_entry_can_be_deleted_after_a_year() -> None:
    with session_scope() as session:
        audit.record(session, "a", "rule.create", "rule:1", None, {}, utc_now() - timedelta(days=366))
    with session_scope() as session:
        session.execute(text("DELETE FROM audit_entries"))
