"""Errors of PostgreSQL as messages for people and logs. Neither contains values, which the driver's messages quote."""

import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from app.utils.redact import HIDDEN

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

PACKAGE = Path(__file__).parent.parent
NO_ANSWER = "the database does not answer: see DATABASE_URL and the database's own log"
OTHER_SCHEMA = "the database has another schema than this version: run alembic upgrade head"
READ_ONLY = "the database is read-only: point DATABASE_URL at the primary, with a role that may write"
CONTENDED = "another change holds what this one needs: try again when it is done"
TOO_SLOW = "the database took too long for a statement: see its load and its own log"
REFUSED = "the database refuses what GiftPulse needs: {}; docs/operations.md lists the privileges"
MISSING = {"42P01", "42703", "42883", "3F000"}
"""Missing tables, columns, functions and schemas."""
_STATEMENT = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE|COPY|FROM)\s+(?:ONLY\s+)?\"?([a-z_]\w*)")
_REASON = re.compile(
    r"failed: (?:FATAL|ERROR):\s+(?P<server>.+)|(?P<tls>SSL error: .+|root certificate file .+)"
    r"|failed: (?:fe_sendauth: )?(?P<client>server does not support SSL.*|no password supplied)"
    r"|could not translate (?P<name>host name)"
)
"""What is said of a connection that failed, apart from a server that is not there."""


def explain(error: Exception) -> str:
    """Explain in one sentence what the database refused, and what to do."""
    found = find(error)
    if found is None:
        return NO_ANSWER
    code = _code(found)
    if code == "42501":
        return REFUSED.format(_message(found))
    if code == "25006":
        return READ_ONLY
    if code in ("55P03", "40P01", "40001"):
        return CONTENDED
    if code == "57014":
        return TOO_SLOW
    if code in MISSING:
        return OTHER_SCHEMA
    if code is not None and code[:2] not in ("08", "57"):
        return f"the database did not do what was asked: {_message(found)}"
    if reason := _REASON.search(str(found.orig)):
        said = "its host name cannot be looked up" if reason["name"] else reason[reason.lastgroup or 0]
        return f"the database does not answer: {said}; see DATABASE_URL"
    return NO_ANSWER


def describe(error: "DBAPIError") -> dict[str, str]:
    """Return the fields of a log line: the error, the statement, and the line in our code."""
    fields = {
        "error": type(error.orig).__name__,
        "message": _message(error),
        "sqlstate": _code(error),
        "statement": _statement(error),
        "where": _where(error),
    }
    return {name: value for name, value in fields.items() if value}


def find(error: BaseException | None) -> "DBAPIError | None":
    """Find the database's error in a chain of exceptions."""
    if "sqlalchemy.exc" not in sys.modules:
        return None  # it raised nothing: beat logs through this module, and would load 10 MB for nothing
    from sqlalchemy.exc import DBAPIError

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, DBAPIError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _code(error: "DBAPIError") -> str | None:
    code: str | None = getattr(error.orig, "pgcode", None)
    return code


def _message(error: "DBAPIError") -> str:
    """Return PostgreSQL's message without values: those in its detail and those it quotes."""
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    message = str(primary or error.orig).strip().partition("\n")[0]
    # Data errors quote values; others quote the names of tables, columns and constraints.
    if (_code(error) or "").startswith("22"):
        message = re.sub("\"[^\"]*\"?|'[^']*'?", HIDDEN, message)
    return message


def _statement(error: "DBAPIError") -> str | None:
    """Describe a statement by its verb and table: `UPDATE rules`, `SELECT logs`."""
    text = error.statement or getattr(getattr(error.orig, "diag", None), "context", None) or ""
    found = _STATEMENT.search(text)
    if found is None:
        return None
    verb = "SELECT" if found[1] == "FROM" else found[1]
    return f"{verb} {found[2]}"


def _where(error: "DBAPIError") -> str | None:
    """Return the innermost line of our code outside the module that all statements pass through."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(PACKAGE) and frame.filename != str(PACKAGE / "database.py")
    ]
    if not own:
        return None
    return f"{Path(own[-1].filename).relative_to(PACKAGE.parent)}:{own[-1].lineno} in {own[-1].name}"
