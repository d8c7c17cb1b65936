"""The middle steps, for a log that matched: its group, the schedule and the condition."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.models import Log, Match
from app.services.evaluation import stuck_logs
from app.services.evaluation.completeness import load_completeness
from app.services.evaluation.due_minutes import DueMinute, first_judged_minute
from app.services.evaluation.match_groups import opening_points
from app.services.evaluation.minute_counts import MINUTE, minute_end
from app.services.evaluation.minute_evaluator import judge_group
from app.services.evaluation.minute_input import MinuteInput, has_windows, window_range
from app.services.evaluation.rule_set import account_starts
from app.services.evaluation.window_queries import MatchSpan, WindowRange, count_windows, matches_within, read_amounts
from app.services.explain.steps import Step, StepName, moment
from app.services.rules.conditions import sum as sum_condition
from app.services.rules.conditions.base import MatchCondition
from app.services.rules.groups import group_key, group_values, other_group
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.schedule import contains
from app.utils.quantities import money, number, window


def group_step(rule: Rule, match: Match) -> Step | None:
    """Explain which group the log counts in; None for a rule without groups."""
    if not rule.group_by:
        return None
    if match.group_key == group_key(other_group(rule)):
        return Step(StepName.GROUP, True, "500 groups were there before it: it counts in the one of all others.")
    values = group_values(match.group_key).items()
    named = ", ".join(f"{name} {'empty' if value is None else value}" for name, value in values)
    return Step(StepName.GROUP, True, f"It counts in the group {named}.")


def schedule_step(rule: Rule, match: Match) -> Step | None:
    """Explain whether an alert may open at its time; None for a rule without a schedule."""
    if rule.schedule is None:
        return None
    inside = contains(rule.schedule, match.changed_at)
    where = "inside" if inside else "outside"
    return Step(StepName.SCHEDULE, inside, f"{moment(match.changed_at)} lies {where} the schedule of the rule.")


def condition_step(
    session: Session, rule: Rule, match: Match, judged_until: datetime | None, settings: Settings, now: datetime
) -> Step:
    """Explain what the condition found, as far as it is evaluated."""
    if not isinstance(rule.condition, MatchCondition):
        return _over_time(session, rule, match, judged_until, settings, now)
    if rule.condition.watched_field:
        return _new_value(rule, match)
    if rule.window:
        return _windows(session, rule, match)
    return Step(StepName.CONDITION, True, "Every match opens an alert, or joins the open one.")


def _new_value(rule: Rule, match: Match) -> Step:
    field = rule.condition.watched_field
    days = rule.condition.lookback.days
    if match.new_value is not None:
        return Step(StepName.CONDITION, True, f"No match of the {days} days before had its {field}.")
    return Step(StepName.CONDITION, False, f"Its {field} is empty, or a match of the {days} days before had it.")


def _windows(session: Session, rule: Rule, match: Match) -> Step:
    """Count the windows that contain the match, as the condition does if none of their matches counts yet."""
    span = MatchSpan(rule, match.group_key, match.changed_at - rule.window, match.changed_at + rule.window)
    points = sorted(point._replace(alert_id=None) for _, _, point in matches_within(session, [span]))
    times = [point.at for point in points]
    around = [
        (index, opens)
        for index, (point, opens) in enumerate(zip(points, opening_points(rule, points), strict=True))
        if match.changed_at <= point.at < match.changed_at + rule.window
    ]
    counts = [
        bisect_right(times, times[index]) - bisect_right(times, times[index] - rule.window) for index, _ in around
    ]
    most = max(counts, default=0)
    own = bisect_right(times, match.changed_at) - bisect_right(times, match.changed_at - rule.window)
    fullest = f"; the fullest window that holds it had {most:,}" if most != own else ""
    length = window(int(rule.window / MINUTE))
    detail = f"{own:,} of {rule.condition.limit:,.0f} matches within {length} when it came{fullest}."
    return Step(StepName.CONDITION, any(opens for _, opens in around), detail)


def _over_time(
    session: Session, rule: Rule, match: Match, judged_until: datetime | None, settings: Settings, now: datetime
) -> Step:
    """Evaluate the first minute whose window contains the log, as if no alert were open."""
    if rule.condition.names_logs:
        return _stuck(session, rule, match, judged_until)
    at = match.occurred_at if rule.condition.counts_versions else match.changed_at
    minute = max(minute_end(at) + rule.settle_delay, first_judged_minute(rule))
    if judged_until is None or judged_until < minute:
        until = "no minute" if judged_until is None else f"minutes up to {moment(judged_until)}"
        detail = f"It counts from {moment(minute)} on; the rule has judged {until}: it waits for complete streams."
        return Step(StepName.CONDITION, None, detail)
    due = DueMinute(minute, [rule], load_completeness(session, settings, now))
    verdict = judge_group(rule, (rule.id, match.group_key), _numbers(session, rule, minute), due)
    shown = money if rule.condition.summed_field == "price" else number
    limit = "" if rule.condition.limit is None else f", and the limit is {shown(rule.condition.limit)}"
    value = "could not be measured" if verdict.value is None else f"was {shown(verdict.value)}"
    return Step(StepName.CONDITION, verdict.holds, f"At {moment(minute)} the value {value}{limit}.")


def _stuck(session: Session, rule: Rule, match: Match, judged_until: datetime | None) -> Step:
    """Explain whether the log is old, was read again since, and is still not final."""
    log = session.scalars(select(Log).where(Log.occurred_at == match.occurred_at, Log.id == match.log_id)).one()
    age = window(int(rule.condition.min_age / MINUTE))
    if log.final:
        return Step(StepName.CONDITION, False, f"It became final at {moment(log.changed_at)}, and is not stuck.")
    if log.reread_at is None:
        return Step(StepName.CONDITION, False, "It was given up, and is not read again: it does not count as stuck.")
    found = {} if judged_until is None else _stuck_logs(session, rule, judged_until)
    stuck = found.get((rule.id, match.group_key), [])
    if judged_until is None or match.log_id not in stuck:
        return Step(StepName.CONDITION, None, f"It is not final. It counts once it is read again after {age}.")
    limit = rule.condition.limit or 0
    words = f"{len(stuck):,} not final after {age} at {moment(judged_until)}, and the limit is {number(limit)}."
    return Step(StepName.CONDITION, len(stuck) >= limit, words)


def _stuck_logs(session: Session, rule: Rule, at: datetime) -> Mapping[tuple[UUID, str], Sequence[int]]:
    return stuck_logs.find(session, RuleIndex([rule]), [rule], account_starts(session), at)


def _numbers(session: Session, rule: Rule, minute: datetime) -> MinuteInput:
    given = MinuteInput(minute)
    if has_windows(rule):
        given.window_counts = count_windows(session, [window_range(rule, minute)])
    if rule.condition.summed_field:
        windows = [WindowRange(rule, minute, rule.window)]
        given.amounts |= read_amounts(session, windows, sum_condition.LOOKBACK)
    return given
