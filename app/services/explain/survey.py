"""Finds for one log the step that keeps each rule from taking it."""

from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Match, Rule
from app.services.evaluation.rule_set import effective_start, to_rule
from app.services.explain import matching
from app.services.explain.matching import Subject
from app.services.explain.service import read_subject
from app.services.explain.steps import Step, StepName
from app.services.logs import search
from app.utils.json_types import JsonObject

MAX_RULES = 100
DISABLED = Step(StepName.RULE, False, "The rule is disabled: it takes no logs.")
ORDER = (None, *reversed(StepName))
"""Rules that took the log come first, then those that it came nearest to."""


class RuleOutcome(NamedTuple):
    """What became of a log under one rule."""

    rule_id: UUID
    name: str
    stopped_by: Step | None
    """The first step that the log did not pass; None if the rule takes it."""


def survey_rules(session: Session, sid: str, settings: Settings) -> list[RuleOutcome]:
    """Find what became of a log under each rule of its type, the nearest first; of many rules, the first by name.

    Raises: NotFound.
    """
    row = search.find_log(session, sid)
    of_type = select(Rule).where(Rule.log_type.in_((row.log_type, "any"))).order_by(Rule.name, Rule.id)
    rules = session.scalars(of_type.limit(MAX_RULES)).all()
    if not rules:
        return []
    taken = set(session.scalars(select(Match.rule_id).where(Match.log_id == row.id)))
    subject = read_subject(session, row.id, row.occurred_at, to_rule(rules[0]), settings)
    found = [
        RuleOutcome(rule.id, rule.name, None if rule.id in taken else _stopped_by(subject, rule)) for rule in rules
    ]
    return sorted(found, key=lambda each: ORDER.index(each.stopped_by and each.stopped_by.step))


def _stopped_by(log: Subject, stored: Rule) -> Step | None:
    if not stored.enabled:
        return DISABLED
    rule = to_rule(stored)
    subject = replace(log, rule=rule, effective_start=effective_start(rule, log.account_started_at))
    population = matching.population_step(subject)
    if not population.passed:
        return population
    versions, failure = matching.matching_versions(subject)
    if not versions:
        return matching.pattern_step(subject, versions, failure)
    start, hit = matching.start_step(subject, versions)
    return start if hit is None else None


def to_json(outcome: RuleOutcome) -> JsonObject:
    """Serialize an outcome as the API shows it."""
    stopped_by = None if outcome.stopped_by is None else outcome.stopped_by.as_json()
    return {"rule_id": str(outcome.rule_id), "name": outcome.name, "stopped_by": stopped_by}
