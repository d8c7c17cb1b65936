"""Counts the SQL statements that a page costs, once what the process keeps is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.utils.caching import ReadCache

MAX_STATEMENTS = 12


@pytest.fixture
def warm_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a process reads once for many pages: on a busy machine it would be read again."""
    monkeypatch.setattr(ReadCache, "is_fresh", lambda *_: True)


@pytest.fixture
def cold_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every page read anew what the test has changed."""
    monkeypatch.setattr(ReadCache, "is_fresh", lambda *_: False)


@contextmanager
def count_statements() -> Iterator[list[str]]:
    """Collect the statements of this process while the block runs; not its settings, nor the clock."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SET ", "SELECT CLOCK_TIMESTAMP")):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
