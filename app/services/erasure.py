"""Removes a phone number, and the texts to and from it, from everything but the audit.

Rules, silences and configs of actions that name it are for people to edit first: until then nothing is erased. In keys
(groups, tallies of senders) a pseudonym replaces the number: equal keys stay equal, and the pseudonym does not
reveal the number.
"""

import re
import secrets
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, Column, Table, Text, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import session_scope
from app.errors import Conflict, FieldError, InvalidInput
from app.models import Action, Base
from app.services import audit
from app.utils.crypto import Undecryptable, decrypt
from app.utils.db_retry import retry_on_conflict
from app.utils.redact import mask_numbers

BATCH_SIZE = 1_000
DAY = timedelta(days=1)
STATEMENT_TIMEOUT = "SET LOCAL statement_timeout = '15min'"
SEPARATORS = "[-. ()/]{0,3}"
"""Characters that people write between the digits of a number."""
LOGS, CONFIGURATION = ("logs", "log_changes", "log_texts"), ("rules", "silences", "actions")
DELETED = ("pushed_records", "quarantined_records")
"""Their rows contain requests and responses as they were, with texts."""
SENT = ("deliveries", "attempts")
AUDIT, ANSWERS = "audit_entries", "idempotent_answers"
Values = Mapping[str, object]

CHANGED_LOGS = """
WITH found AS (
  SELECT occurred_at, id, log_type = 'error' OR coalesce(from_, '') ~ :pattern OR coalesce(to_, '') ~ :pattern AS of_it
  FROM logs WHERE occurred_at >= :since AND occurred_at < :until
  AND (from_ ~ :pattern OR to_ ~ :pattern OR text_ ~ :pattern OR error_message ~ :pattern
       OR convert_from(rest, 'UTF8') ~ :pattern)
), changed AS (
  UPDATE logs AS l SET from_ = regexp_replace(from_, :pattern, :pseudonym, 'g'),
    to_ = regexp_replace(to_, :pattern, :pseudonym, 'g'),
    error_message = regexp_replace(error_message, :pattern, :pseudonym, 'g'),
    text_ = CASE WHEN NOT of_it THEN regexp_replace(text_, :pattern, :pseudonym, 'g') END,
    rest = CASE WHEN NOT of_it THEN
      convert_to(regexp_replace(convert_from(rest, 'UTF8'), :pattern, :pseudonym, 'g'), 'UTF8') END
  FROM found WHERE l.occurred_at = found.occurred_at AND l.id = found.id
  RETURNING l.occurred_at, l.id, l.log_type, l.text_, l.error_message, l.from_, l.to_, l.sid
), words AS (
  UPDATE log_texts AS t SET words = lower(concat_ws(chr(10),
    CASE WHEN :bodies OR changed.log_type <> 'message' THEN changed.text_ END,
    changed.error_message, changed.from_, changed.to_, changed.sid))
  FROM changed WHERE t.occurred_at = changed.occurred_at AND t.log_id = changed.id
)
SELECT count(*) FROM changed
"""
CHANGED_STATES = """
UPDATE log_changes SET from_ = regexp_replace(from_, :pattern, :pseudonym, 'g'),
  error_message = regexp_replace(error_message, :pattern, :pseudonym, 'g')
WHERE occurred_at >= :since AND occurred_at < :until AND (from_ ~ :pattern OR error_message ~ :pattern)
"""
# Sent content may contain message texts. Pending content only loses the number.
CHANGED_DELIVERIES = """
UPDATE deliveries SET recipient = regexp_replace(recipient, :pattern, :pseudonym, 'g'),
  warning = regexp_replace(warning, :pattern, :pseudonym, 'g'),
  content = CASE WHEN status = 'pending'
    THEN CAST(regexp_replace(CAST(content AS text), :pattern, :pseudonym, 'g') AS jsonb)
    ELSE coalesce((
      SELECT jsonb_object_agg(key,
        CASE WHEN key = 'body' THEN '{}' WHEN key IN ('domain', 'format') THEN value ELSE 'erased' END)
      FROM jsonb_each_text(content)), content) END,
  bundle_item = CASE WHEN status = 'pending'
    THEN CAST(regexp_replace(CAST(bundle_item AS text), :pattern, :pseudonym, 'g') AS jsonb)
    WHEN bundle_item IS NOT NULL THEN CAST('{}' AS jsonb) END
WHERE id IN (SELECT id FROM deliveries WHERE CAST(content AS text) ~ :pattern OR recipient ~ :pattern
  OR warning ~ :pattern OR CAST(bundle_item AS text) ~ :pattern LIMIT :limit)
"""
CHANGED_ATTEMPTS = """
UPDATE attempts SET response = NULL, error = regexp_replace(error, :pattern, :pseudonym, 'g')
WHERE id IN (SELECT id FROM attempts WHERE response ~ :pattern OR error ~ :pattern LIMIT :limit)
"""
# They are encrypted, so all go. They only protect retries for a day. A reservation has no answer yet.
DELETED_ANSWERS = "DELETE FROM idempotent_answers WHERE status <> 0"
NAMED = """
SELECT 'the rule ' || name AS said FROM rules
WHERE concat_ws(' ', name, description, pattern_value, filters, condition) ~ :pattern
UNION ALL SELECT 'the silence ' || id FROM silences WHERE concat_ws(' ', "group", reason) ~ :pattern ORDER BY 1
"""
MAX_NAMED = 3


def erase(typed: str, settings: Settings, by: str, now: datetime) -> dict[str, int]:
    """Erase a number; return how many rows of each table changed.

    It may be interrupted and continues when started again.

    Raises: InvalidInput if it is no phone number, Conflict if a rule, silence or action names it.
    """
    number = _parse(typed)
    values: Values = {"pattern": pattern_of(number), "pseudonym": _pseudonym()}
    _refuse_if_named(number, settings)
    changed = Counter[str]()
    for since, until in _days():
        day = {**values, "since": since, "until": until}
        changed["logs"] += _write(CHANGED_LOGS, {**day, "bodies": settings.store_message_bodies}, counts=True)
        changed["log_changes"] += _write(CHANGED_STATES, day)
    changed["deliveries"] += _in_batches(CHANGED_DELIVERIES, values)
    changed["attempts"] += _in_batches(CHANGED_ATTEMPTS, values)
    changed[ANSWERS] += _write(DELETED_ANSWERS, {})
    for table in Base.metadata.sorted_tables:
        if (statement := _statement_for(table)) is not None:
            changed[table.name] += _in_batches(statement, values)
    found = {name: count for name, count in changed.items() if count}
    with session_scope() as session:
        audit.record(session, by, "number.erase", f"number:{mask_numbers(number)}", None, {"rows": found}, now)
    return found


def _parse(typed: str) -> str:
    number = re.sub(r"[-. ()/]", "", typed)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise InvalidInput([FieldError("number", "must be a phone number with its country, such as +14155550100")])
    return number


def pattern_of(number: str) -> str:
    """Return PostgreSQL's pattern for a complete number as people and URLs write it. Pure."""
    return rf"(\+|%2[Bb])?(?<![0-9])({SEPARATORS.join(number.removeprefix('+'))})(?![0-9])"


def _pseudonym() -> str:
    return "erased-" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(10))


def _refuse_if_named(number: str, settings: Settings) -> None:
    with session_scope() as session:
        named = [
            *session.scalars(text(NAMED), {"pattern": pattern_of(number)}),
            *_actions_naming(session, number, settings),
        ][:MAX_NAMED]
    if named:
        raise Conflict(f"it is named by {', '.join(named)}: remove it there first, then erase it")


def _actions_naming(session: Session, number: str, settings: Settings) -> Iterator[str]:
    """Search the decrypted configs. One that no key decrypts reveals nothing to anybody."""
    for action in session.scalars(select(Action).order_by(Action.id)):
        with suppress(Undecryptable):
            if re.search(pattern_of(number), decrypt(settings.secret_keys, action.config)):
                yield f"the action {action.id}"


def _days() -> Iterator[tuple[datetime, datetime]]:
    """Split the time span of all logs into days."""
    with session_scope() as session:
        first, last = session.execute(text("SELECT min(occurred_at), max(occurred_at) FROM logs")).one()
    while first is not None and first <= last:
        yield first, first + DAY
        first += DAY


def _write(statement: str, values: Values, *, counts: bool = False) -> int:
    def write() -> int:
        with session_scope() as session:
            return _run(session, statement, values, counts=counts)

    return retry_on_conflict(write)


def _run(session: Session, statement: str, values: Values, *, counts: bool) -> int:
    session.execute(text(STATEMENT_TIMEOUT))
    result = session.execute(text(statement), values)
    number: int = result.scalar_one() if counts else result.rowcount  # type: ignore[attr-defined]  # of a write
    return number


def _in_batches(statement: str, values: Values) -> int:
    """Update until no row is left: an updated row no longer contains the number."""
    total = 0
    while count := _write(statement, {**values, "limit": BATCH_SIZE}):
        total += count
    return total


def _statement_for(table: Table) -> str | None:
    """Build the statement for a table without a special one; None if there is nothing to do."""
    if table.name in (*LOGS, *CONFIGURATION, *SENT, AUDIT, ANSWERS):
        return None
    columns = [column for column in table.columns if _holds_text(column)]
    if not columns:
        return None
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    has_it = " OR ".join(f'CAST("{column.name}" AS text) ~ :pattern' for column in columns)
    found = f'({key}) IN (SELECT {key} FROM "{table.name}" WHERE {has_it} LIMIT :limit)'
    if table.name in DELETED:
        return f'DELETE FROM "{table.name}" WHERE {found}'
    changes = ", ".join(f'"{column.name}" = {_replaced(column)}' for column in columns)
    return f'UPDATE "{table.name}" SET {changes} WHERE {found}'


def _holds_text(column: Column[object]) -> bool:
    kind = column.type
    return isinstance(kind.item_type if isinstance(kind, ARRAY) else kind, (Text, JSONB))


def _replaced(column: Column[object]) -> str:
    name = f'"{column.name}"'
    if isinstance(column.type, ARRAY):
        return f"ARRAY(SELECT regexp_replace(each, :pattern, :pseudonym, 'g') FROM unnest({name}) AS each)"
    replaced = f"regexp_replace(CAST({name} AS text), :pattern, :pseudonym, 'g')"
    return f"CAST({replaced} AS jsonb)" if isinstance(column.type, JSONB) else replaced
