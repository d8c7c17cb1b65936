"""Finds the parts of a rule that can never be true.

If nothing can change that, the rule is rejected; if Twilio or a setting may, it gets a warning. Pure.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from functools import partial

from app.enums import LogType, PatternType
from app.errors import FieldError
from app.services.rules.conditions.base import RulePart
from app.services.rules.definition import RuleDefinition
from app.services.rules.expressions import compared_values
from app.services.rules.patterns import code_ranges, list_items
from app.services.twilio import error_codes
from app.services.twilio.vocabulary import country_error, log_types_of, value_warning, value_warnings


def errors(rule: RuleDefinition, retention: timedelta) -> list[FieldError]:
    """List the fields for which the rule could never match or fire.

    Args:    retention: how long logs are kept.
    """
    found = [
        FieldError("filters.to_country", f"item {number} {why}")
        for number, country in enumerate(rule.filters.to_country, start=1)
        if (why := country_error(country)) is not None
    ]
    found += rule.condition.errors(_part(rule), retention)
    return found


def warnings(rule: RuleDefinition, settle: timedelta) -> list[FieldError]:
    """List the fields for which the rule may never match or fire, unless Twilio adds new values.

    Args:    settle: how long after it was sent a log that is not final is reread.
    """
    log_types = log_types_of(rule.log_type)
    return [
        *_filter_warnings(rule, log_types),
        *_pattern_warnings(rule, log_types),
        *rule.condition.warnings(_part(rule), settle),
    ]


def _filter_warnings(rule: RuleDefinition, log_types: Collection[str]) -> Iterator[FieldError]:
    for field, values in rule.filters.model_dump(by_alias=True).items():
        yield from value_warnings(f"filters.{field}", field, values, log_types)


def _pattern_warnings(rule: RuleDefinition, log_types: Collection[str]) -> Iterator[FieldError]:
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        yield from value_warnings("pattern_value", "status", list_items(value), log_types)
    elif rule.pattern_type == PatternType.ERROR_CODE:
        items = list_items(value)
        for number, given in enumerate(items, start=1):
            ranges = code_ranges(given)
            if not any(error_codes.any_known(first, last) for first, last in ranges):
                item = "" if len(items) == 1 else f"item {number}: "
                what = "is not in" if given.isdigit() else "contains no code of"
                yield FieldError("pattern_value", f"{item}{what} Twilio's catalogue of error codes")
    elif rule.pattern_type == PatternType.EXPRESSION:
        for field, compared, where in compared_values(value):
            if (why := value_warning(field, compared, log_types)) is not None:
                yield FieldError("pattern_value", f"log.{field}{where}: {why}")


def _part(rule: RuleDefinition) -> RulePart:
    """Return the parts of a rule that its condition checks."""
    schedule = None if rule.schedule is None else rule.schedule.model_dump()
    return RulePart(log_types_of(rule.log_type), schedule, partial(_all_statuses, rule))


def _all_statuses(rule: RuleDefinition, predicate: Callable[[str, str], bool]) -> bool:
    """Return whether a predicate is true of every status in the pattern, for every type of log with statuses."""
    if rule.pattern_type != PatternType.STATUS:
        return False
    types = log_types_of(rule.log_type) - {LogType.ERROR}
    statuses = list_items(rule.pattern_value or "")
    return bool(types) and all(predicate(log_type, status) for log_type in types for status in statuses)
