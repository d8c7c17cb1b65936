"""Lists are read page by page in both directions: no row is skipped, none comes twice."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from app.database import session_scope
from app.models import AuditEntry
from app.services import audit
from app.services.paging import Page, Position

NOW = datetime(2026, 11, 23, 6, 9, tzinfo=UTC)
ENTRIES = 11


@pytest.fixture
def entries(database: str) -> None:
    """Audit entries, four to a moment: the time alone does not sort them."""
    with session_scope() as session:
        for number in range(ENTRIES):
            audit.record(
                session, "maria", "rule.update", f"rule:{number}", None, None, NOW + timedelta(seconds=number // 4)
            )


def read(session: Session, position: Position | None, limit: int) -> Page[AuditEntry]:
    return audit.list_entries(session, audit.AuditFilter(), position, limit)


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 10, 11, 12])
def test_pages_read_back_are_the_pages_read_forth(limit: int) -> None:
    forth: list[list[int]] = []
    with session_scope() as session:
        page = read(session, None, limit)
        forth.append([entry.id for entry in page.items])
        while page.older is not None:
            page = read(session, page.older, limit)
            forth.append([entry.id for entry in page.items])
        back = [forth[-1]]
        while page.newer is not None:
            page = read(session, page.newer, limit)
            back.append([entry.id for entry in page.items])
    shown = [entry_id for ids in forth for entry_id in ids]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == ENTRIES
    assert [entry_id for ids in reversed(back) for entry_id in ids] == shown
