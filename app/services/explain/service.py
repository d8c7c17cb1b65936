"""Combines the steps into an explanation with a verdict."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import LogType
from app.errors import NotFound
from app.models import Account, Alert, Match, Rule
from app.services.alerts import escalation
from app.services.evaluation.change_queue import versions_of
from app.services.evaluation.rule_set import effective_start, to_rule
from app.services.explain import judging, matching, notifying
from app.services.explain.matching import Subject
from app.services.explain.steps import Explanation, Step, StepName, Verdict, moment
from app.services.logs import alert_logs, search
from app.services.outbox import deliveries
from app.services.rules.rule import Rule as RuleValue
from app.services.rules.types import LogVersion


def explain(session: Session, sid: str, rule_id: UUID, settings: Settings, now: datetime) -> Explanation:
    """Explain why a rule did or did not alert on a log, and who was notified.

    Raises: NotFound.
    """
    row = search.find_log(session, sid)
    stored = session.get(Rule, rule_id)
    if stored is None:
        raise NotFound(f"there is no rule {rule_id}")
    rule = to_rule(stored)
    alert = next((each for each in alert_logs.alerts_of_log(session, row.id) if each.rule_id == rule_id), None)
    match = session.scalar(
        select(Match).where(Match.rule_id == rule_id, Match.log_id == row.id).order_by(Match.epoch.desc()).limit(1)
    )
    is_former = match is not None and match.epoch != rule.epoch
    first = Step(StepName.RULE, stored.enabled, _rule_detail(stored, is_former=is_former))
    notifications: list[Step] = []
    if alert is not None:
        later = escalation.list_next(session, alert, settings)
        notifications += notifying.steps(alert, deliveries.of_alert(session, alert.id), later)
    if is_former and alert is not None:
        return Explanation(_verdict_of(alert), [first, *notifications])
    subject = read_subject(session, row.id, row.occurred_at, rule, settings)
    taken, verdict, hit = _take(session, subject, match, enabled=stored.enabled)
    steps = [first, *taken]
    if match is not None and not is_former and hit is not None:
        steps += [each for each in _judge(session, rule, match, stored.judged_until, settings, now) if each is not None]
        verdict = Verdict.WAITING if match.pending or steps[-1].passed is None else Verdict.COUNTED
    return Explanation(verdict if alert is None else _verdict_of(alert), [*steps, *notifications])


def _rule_detail(rule: Rule, *, is_former: bool) -> str:
    state = "The rule is enabled" if rule.enabled else "The rule is disabled: it takes no logs"
    since = f"; it was edited or enabled since it took this log, and began again at {moment(rule.started_at)}"
    return state + (since if is_former else "") + "."


def read_subject(session: Session, log_id: int, occurred_at: datetime, rule: RuleValue, settings: Settings) -> Subject:
    """Read a log in all its versions, to be explained under a rule.

    Raises: NotFound.
    """
    versions = versions_of(session, log_id, occurred_at)
    if not versions:
        raise NotFound("the history of this log was not kept, so it cannot be explained")
    newest = versions[-1]
    started_at = session.scalars(select(Account.started_at).where(Account.id == newest.account_id)).one()
    erased = newest.log_type == LogType.MESSAGE and newest.text is None and not settings.store_message_bodies
    return Subject(rule, versions, effective_start(rule, started_at), started_at, erased)


def _take(
    session: Session, subject: Subject, match: Match | None, *, enabled: bool
) -> tuple[list[Step], Verdict, LogVersion | None]:
    """Explain the steps up to the match; return the version that matched and counts."""
    population = matching.population_step(subject)
    if not population.passed:
        return [population], Verdict.NOT_IN_POPULATION, None
    versions, failure = matching.matching_versions(subject)
    pattern = matching.pattern_step(subject, versions, failure)
    if not versions and pattern.passed is None:
        return _take_erased(session, subject, match, [population, pattern], enabled=enabled)
    if not versions:
        return [population, pattern], Verdict.NO_MATCH, None
    start, hit = matching.start_step(subject, versions)
    if hit is None:
        return [population, pattern, start], Verdict.TOO_EARLY, None
    if not enabled and match is None:
        return [population, pattern, start], Verdict.DISABLED, None
    return [population, pattern, start, _evaluation_step(session, hit, match)], Verdict.WAITING, hit


def _take_erased(
    session: Session, subject: Subject, match: Match | None, steps: list[Step], *, enabled: bool
) -> tuple[list[Step], Verdict, LogVersion | None]:
    """Explain a log whose text was erased: only what was recorded is known of its match."""
    if match is not None:
        return steps, Verdict.WAITING, subject.newest
    start, hit = matching.start_step(subject, subject.versions)
    if hit is None:
        return [*steps, start], Verdict.TOO_EARLY, None
    if not enabled:
        return steps, Verdict.DISABLED, None
    if _was_judged(session, subject):
        return [steps[0], Step(StepName.PATTERN, False, matching.DID_NOT_MATCH)], Verdict.NO_MATCH, None
    return steps, Verdict.UNKNOWN, None


_WAS_JUDGED = """
    SELECT bool_and(change.seen_at >= :started_at AND done.change_id >= change.id) FROM log_changes AS change
    JOIN stream_evaluations AS done ON done.stream_id = change.stream_id
    WHERE change.log_id = :log_id AND change.occurred_at = :occurred_at AND change.changed_at >= :effective_start
"""


def _was_judged(session: Session, subject: Subject) -> bool:
    """Return whether the rule was there when the changes of a log that count were evaluated."""
    given = {
        "started_at": subject.rule.started_at,
        "log_id": subject.newest.log_id,
        "occurred_at": subject.newest.occurred_at,
        "effective_start": subject.effective_start,
    }
    return bool(session.scalar(text(_WAS_JUDGED), given))


_IS_EVALUATED = """
    SELECT done.change_id >= change.id FROM log_changes AS change
    JOIN stream_evaluations AS done ON done.stream_id = change.stream_id
    WHERE change.log_id = :log_id AND change.occurred_at = :occurred_at AND change.id = :change_id
"""


def _evaluation_step(session: Session, hit: LogVersion, match: Match | None) -> Step:
    given = {"log_id": hit.log_id, "occurred_at": hit.occurred_at, "change_id": hit.change_id}
    if match is not None:
        return Step(StepName.EVALUATION, True, "It was evaluated, and recorded as a match.")
    if session.scalar(text(_IS_EVALUATED), given):
        return Step(StepName.EVALUATION, None, "It was evaluated before the rule was there: a match is not recorded.")
    return Step(StepName.EVALUATION, None, "It waits to be evaluated.")


def _judge(
    session: Session, rule: RuleValue, match: Match, judged_until: datetime | None, settings: Settings, now: datetime
) -> Iterator[Step | None]:
    yield judging.group_step(rule, match)
    yield judging.schedule_step(rule, match)
    yield judging.condition_step(session, rule, match, judged_until, settings, now)


def _verdict_of(alert: Alert) -> Verdict:
    return Verdict.ALERTED if alert.firing_notified_at is None else Verdict.TOLD
