"""What a rule asks for that no log can be, or that can never come to be true.

Where nothing can change that, the rule is refused; where Twilio or a setting may, it is accepted with a warning. Pure.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta

from app.enums import LogType, PatternType
from app.errors import FieldError
from app.services.rules.definition import NewValue, NoData, Ratio, RuleDefinition, Spike, Stuck, Sum
from app.services.rules.expressions import compared_values
from app.services.rules.patterns import code_ranges, list_items
from app.services.rules.schedule import longest_stretch
from app.services.twilio import error_codes
from app.services.twilio.statuses import is_final
from app.services.twilio.vocabulary import country_fault, doubt, field_doubt, log_types_of, value_doubts


def faults(rule: RuleDefinition, retention: timedelta) -> list[FieldError]:
    """List the fields for which the rule could never match or fire.

    Args:    retention: how long logs are kept.
    """
    found = [
        FieldError("filters.to_country", f"item {place} {why}")
        for place, country in enumerate(rule.filters.to_country, start=1)
        if (why := country_fault(country)) is not None
    ]
    condition = rule.condition
    if isinstance(condition, NoData) and rule.schedule is not None:
        longest = longest_stretch(rule.schedule.model_dump())
        if longest is not None and timedelta(minutes=condition.window_minutes) > longest:
            words = f"is longer than every stretch of the schedule ({_minutes(longest)} minutes): it could never fire"
            found.append(FieldError("condition.window_minutes", words))
    if isinstance(condition, Spike):
        baseline = timedelta(minutes=condition.window_minutes * condition.baseline_windows)
        if baseline > retention:
            words = f"with this window makes a baseline longer than RETENTION_DAYS, {retention.days} days"
            found.append(FieldError("condition.baseline_windows", words))
    return found


def doubts(rule: RuleDefinition, settle: timedelta) -> list[FieldError]:
    """List the fields for which the rule is not known ever to match or fire, but may with what Twilio adds.

    Args:    settle: how long after its sending a log that is not final is read again.
    """
    log_types = log_types_of(rule.log_type)
    return [*_filter_doubts(rule, log_types), *_pattern_doubts(rule, log_types), *_condition_doubts(rule, settle)]


def _filter_doubts(rule: RuleDefinition, log_types: Collection[str]) -> Iterator[FieldError]:
    for field, values in rule.filters.model_dump(by_alias=True).items():
        yield from value_doubts(f"filters.{field}", field, values, log_types)


def _pattern_doubts(rule: RuleDefinition, log_types: Collection[str]) -> Iterator[FieldError]:
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        yield from value_doubts("pattern_value", "status", list_items(value), log_types)
    elif rule.pattern_type == PatternType.ERROR_CODE:
        ranges = code_ranges(value)
        for place, (first, last) in enumerate(ranges, start=1):
            if not error_codes.any_known(first, last):
                item = "" if len(ranges) == 1 else f"item {place}: "
                what = "is in no catalogue" if first == last else "holds no code of the catalogue"
                yield FieldError("pattern_value", f"{item}{what} of Twilio's error codes")
    elif rule.pattern_type == PatternType.EXPRESSION:
        for field, compared, where in compared_values(value):
            if (why := doubt(field, compared, log_types)) is not None:
                yield FieldError("pattern_value", f"log.{field}{where}: {why}")


def _condition_doubts(rule: RuleDefinition, settle: timedelta) -> Iterator[FieldError]:
    condition, log_types = rule.condition, log_types_of(rule.log_type)
    if isinstance(condition, NewValue | Sum) and (why := field_doubt(condition.field, log_types)) is not None:
        yield FieldError("condition.field", why)
    if isinstance(condition, Ratio) and _all_statuses(rule, lambda log_type, status: not is_final(log_type, status)):
        yield FieldError("pattern_value", "a ratio counts final logs alone, and none of these statuses is final")
    if not isinstance(condition, Stuck):
        return
    if log_types == {LogType.ERROR}:
        yield FieldError("condition.type", "entries of the error log are always final: none is ever stuck")
    elif _all_statuses(rule, is_final):
        yield FieldError("pattern_value", "only logs that are not final are stuck, and all these statuses are final")
    if timedelta(minutes=condition.older_than_minutes) >= settle:
        hours = int(settle / timedelta(hours=1))
        words = (
            f"only scheduled messages are read again for longer than SETTLE_HOURS, {hours} hours after their sending"
        )
        yield FieldError("condition.older_than_minutes", words)


def _all_statuses(rule: RuleDefinition, holds: Callable[[str, str], bool]) -> bool:
    """Say whether something holds of every status that the pattern lists, in every type of log that has statuses."""
    if rule.pattern_type != PatternType.STATUS:
        return False
    types = log_types_of(rule.log_type) - {LogType.ERROR}
    statuses = list_items(rule.pattern_value or "")
    return bool(types) and all(holds(log_type, status) for log_type in types for status in statuses)


def _minutes(length: timedelta) -> int:
    return int(length / timedelta(minutes=1))
