"""The enabled rules of one version, compiled once.

Evaluations share the rule set's lock; edits of rules take it exclusively. So an evaluation uses one rule set, and a
new rule sees every change that is evaluated after it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from app import models
from app.database import AdvisoryLock
from app.enums import PatternType
from app.services.rules.conditions.registry import read_condition
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.twilio import error_codes
from app.utils.clock import cut_to_second

RULE_LOCKS = 471_562_073
"""The first key of the locks of rules, an arbitrary number; the second is from 0 to 63."""
RULE_LOCK_COUNT = 64
"""Rules share locks, as the server has room for a limited number."""
COMPILE_ATTEMPTS = 3
"""After so many edits during compilation, the edits wait for it."""


@dataclass(frozen=True)
class RuleSet:
    """All enabled rules in one version."""

    rules: Mapping[UUID, Rule]
    index: RuleIndex
    stuck_index: RuleIndex
    """Only the `stuck` rules, which are matched against stored logs at every minute."""
    counted_rule_ids: frozenset[UUID]
    """The rules with per-minute counts of log versions."""
    needs_warm_up: bool
    """Some new rule must read stored logs before anything is evaluated."""


_SHARE_RULE_SET = text(f"SELECT pg_advisory_xact_lock_shared({AdvisoryLock.RULE_SET})")
_READ_VERSION = text("SELECT version FROM rule_sets")
_LOCK_RULES = text(f"SELECT pg_advisory_xact_lock({RULE_LOCKS}, number) FROM unnest(CAST(:numbers AS int[])) AS number")

_cached: dict[tuple[int, int], RuleSet] = {}
"""The last rule set, by its version and that of the error code catalogue: compiling a thousand rules takes longer than
evaluating a page."""


def load_rule_set(session: Session) -> RuleSet:
    """Return the current rule set, and keep it unchanged until the end of the transaction, which begins here."""
    for _ in range(COMPILE_ATTEMPTS):
        session.execute(_SHARE_RULE_SET)
        if (found := _cached.get(_key(session))) is not None:
            return found
        session.rollback()  # Edits do not wait while a new rule set is compiled.
        read_rule_set(session)
        session.rollback()
    session.execute(_SHARE_RULE_SET)
    return read_rule_set(session)


def read_rule_set(session: Session) -> RuleSet:
    """Return the current rule set. It may change at any moment."""
    key = _key(session)
    found = _cached.get(key)
    if found is None:
        # Rows, not objects: a thousand objects of the session would cost more than the rest.
        query = select(models.Rule.__table__).where(models.Rule.enabled)
        rows = session.execute(query.order_by(models.Rule.created_at, models.Rule.id)).all()
        new_ids = {row.id for row in rows if not row.seeded}
        found = _compile([to_rule(row) for row in rows], new_ids)
        _cached.clear()
        _cached[key] = found
    return found


def read_version(session: Session) -> int:
    """Return the version of the current rule set."""
    version: int = session.execute(_READ_VERSION).scalar_one()
    return version


def _key(session: Session) -> tuple[int, int]:
    return read_version(session), error_codes.notice_update()


def _compile(rules: Sequence[Rule], new_ids: Collection[UUID]) -> RuleSet:
    return RuleSet(
        rules={rule.id: rule for rule in rules},
        index=RuleIndex(rules),
        stuck_index=RuleIndex([rule for rule in rules if rule.condition.names_logs]),
        counted_rule_ids=frozenset(rule.id for rule in rules if rule.condition.counts_versions),
        # A warm-up stops all evaluations: an edit of a rule that has nothing to read must not cost one.
        needs_warm_up=any(rule.id in new_ids and rule.warm_up_span is not None for rule in rules),
    )


def lock(session: Session) -> None:
    """Wait for running evaluations, and block new ones."""
    session.execute(select(func.pg_advisory_xact_lock(AdvisoryLock.RULE_SET)))


def bump_version(session: Session) -> None:
    """Lock the rule set, and increment its version."""
    lock(session)
    session.execute(
        text(
            "UPDATE rule_sets"
            " SET version = greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
        )
    )


def lock_rules(session: Session, rule_ids: Iterable[UUID]) -> None:
    """Lock rules for one evaluator until the transaction ends.

    Evaluators get them in the order in which they asked: whoever just had a lock on a row would get it again before
    those who wait. A transaction calls this once, so that two cannot wait for each other.
    """
    numbers = sorted({rule_id.int % RULE_LOCK_COUNT for rule_id in rule_ids})
    if numbers:
        session.execute(_LOCK_RULES, {"numbers": numbers})


def to_rule(row: models.Rule | Row[Any]) -> Rule:
    """Convert a stored rule to a value for the index and the conditions.

    Args:    row: with the columns of `models.Rule`.
    """
    return Rule(
        id=row.id,
        epoch=row.epoch,
        name=row.name,
        severity=row.severity,
        log_type=row.log_type,
        filters={field: frozenset(values) for field, values in row.filters.items() if values},
        pattern_type=PatternType(row.pattern_type),
        pattern_value=row.pattern_value,
        condition=read_condition(row.condition),
        group_by=tuple(row.group_by),
        schedule=row.schedule,
        started_at=row.started_at,
        resolve_after_minutes=row.resolve_after_minutes,
        renotify_minutes=row.renotify_minutes,
        cooldown_minutes=row.cooldown_minutes,
        depends_on=tuple(row.depends_on),
    )


def effective_start(rule: Rule, account_started_at: datetime) -> datetime:
    """Return the time from which changes count for a rule: its start or the account's, to the second."""
    return cut_to_second(max(rule.started_at, account_started_at))


def account_starts(session: Session) -> dict[int, datetime]:
    """Read when each account was added: earlier changes never alert."""
    return {row[0]: row[1] for row in session.execute(text("SELECT id, started_at FROM accounts"))}
