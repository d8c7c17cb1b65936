"""What a rule does, in one paragraph that speaks every default. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.enums import PatternType
from app.services.alerts.summary import NEW_VALUE_NAMES, NOUNS, PLURALS
from app.services.rules.definition import (
    Condition,
    Each,
    NewValue,
    NoData,
    Ratio,
    RuleDefinition,
    Spike,
    Stuck,
    Sum,
    Threshold,
)
from app.services.rules.patterns import list_items
from app.utils.quantities import money, number, window

MAX_NAMED_VALUES = 3
"""A list of more values than this is counted instead of written out."""
MAX_PATTERN_LENGTH = 60
FILTER_PHRASES = {
    "direction": ("with direction ", "directions"),
    "level": ("of level ", "levels"),
    "from": ("from ", "senders"),
    "to": ("to ", "receivers"),
    "to_country": ("to ", "countries"),
    "messaging_service_sid": ("by messaging service ", "messaging services"),
    "account_sid": ("of account ", "accounts"),
}
"""How a filter is said, in the order of a sentence: what stands before its values, and their plural."""
SUM_NAMES = {"price": "price", "duration_seconds": "duration in seconds", "segments": "number of segments"}
DAYS = {"mon": "Mon", "tue": "Tue", "wed": "Wed", "thu": "Thu", "fri": "Fri", "sat": "Sat", "sun": "Sun"}


class Phrase(NamedTuple):
    """A piece of the sentence."""

    text: str
    strong: bool = False
    """It is a value that the rule's author chose."""


def describe_rule(rule: RuleDefinition) -> list[Phrase]:
    """Write what a rule does: when it opens an alert, when it reminds, and when the alert resolves."""
    opens = [Phrase("Opens ")] if rule.enabled else [Phrase("Switched off. Switched on, it opens ")]
    return [*opens, *_alert(rule), *_notifications(rule)]


def describe_condition(rule: RuleDefinition) -> list[Phrase]:
    """Write when a rule opens an alert."""
    return [Phrase("Opens "), *_alert(rule)]


def plain_text(phrases: Sequence[Phrase]) -> str:
    """Return the sentence without its emphasis."""
    return "".join(phrase.text for phrase in phrases)


def _alert(rule: RuleDefinition) -> Iterator[Phrase]:
    yield Phrase("an " if rule.severity == "info" else "a ")
    yield Phrase(rule.severity.value, strong=True)
    yield Phrase(" alert ")
    if rule.group_by:
        yield Phrase("for ")
        yield Phrase("each " + " and ".join(NEW_VALUE_NAMES[field] for field in rule.group_by), strong=True)
        yield Phrase(" ")
    yield from _condition(rule)
    yield from _schedule(rule)


def _condition(rule: RuleDefinition) -> Iterator[Phrase]:  # noqa: PLR0915 - one branch for each condition
    condition = rule.condition
    match condition:
        case Each():
            yield Phrase("as soon as ")
            yield Phrase(f"{_article(rule)} {NOUNS[rule.log_type]}", strong=True)
            yield from _matching(rule)
            yield Phrase(" appears.")
        case Threshold():
            yield Phrase("when there are at least ")
            yield Phrase(_count(rule, condition.count), strong=True)
            yield from _matching(rule)
            yield from _within(condition.window_minutes)
        case Ratio():
            yield from _ratio(rule, condition)
        case NoData():
            if condition.min_count == 1:
                yield Phrase("when there is ")
                yield Phrase(f"no {NOUNS[rule.log_type]}", strong=True)
            else:
                yield Phrase("when there are fewer than ")
                yield Phrase(_count(rule, condition.min_count), strong=True)
            yield from _matching(rule)
            yield from _within(condition.window_minutes)
        case Spike():
            yield Phrase("when there are at least ")
            yield Phrase(f"{number(condition.factor)} times", strong=True)
            yield Phrase(f" as many {PLURALS[rule.log_type]}")
            yield from _matching(rule)
            yield Phrase(" as usual within ")
            yield Phrase(window(condition.window_minutes), strong=True)
            yield Phrase(", and at least ")
            yield Phrase(f"{condition.min_count:,}", strong=True)
            before = window(condition.window_minutes * condition.baseline_windows)
            yield Phrase(f". Usual is the median of the {condition.baseline_windows:,} windows before, {before}.")
        case NewValue():
            yield Phrase("when ")
            yield Phrase(f"{_article(rule)} {NOUNS[rule.log_type]}", strong=True)
            yield from _matching(rule)
            yield Phrase(" has ")
            name = NEW_VALUE_NAMES[condition.field]
            yield Phrase(f"{'an' if name[0] in 'aeiou' else 'a'} {name}", strong=True)
            yield Phrase(" that none had in the ")
            yield Phrase("day" if condition.lookback_days == 1 else f"{condition.lookback_days} days", strong=True)
            yield Phrase(" before.")
        case Stuck():
            yield Phrase("when at least ")
            yield Phrase(_count(rule, condition.min_count), strong=True)
            yield from _matching(rule)
            yield Phrase(f" {'is' if condition.min_count == 1 else 'are'} not final ")
            yield Phrase(window(condition.older_than_minutes), strong=True)
            yield Phrase(" after being created.")
        case Sum():
            yield Phrase("when the ")
            yield Phrase(SUM_NAMES[condition.field], strong=True)
            yield Phrase(f" of all {PLURALS[rule.log_type]}")
            yield from _matching(rule)
            if condition.field == "price" and "price_unit" not in rule.group_by:
                yield Phrase(", each currency by itself,")
            yield Phrase(" adds up to at least ")
            yield Phrase((money if condition.field == "price" else number)(condition.at_least), strong=True)
            yield from _within(condition.window_minutes)


def _ratio(rule: RuleDefinition, condition: Ratio) -> Iterator[Phrase]:
    yield Phrase("when at least ")
    yield Phrase(f"{number(condition.percent)}%", strong=True)
    yield Phrase(f" of the {PLURALS[rule.log_type]}")
    yield from _filters(rule)
    yield Phrase(" of ")
    yield Phrase(window(condition.window_minutes), strong=True)
    verb, value = _pattern(rule, ("have ", "are ", "contain ", "fit ", "satisfy "))
    yield Phrase(f" {verb}")
    yield Phrase(value or "match", strong=bool(value))
    settle = f" {window(condition.settle_minutes)} after its end" if condition.settle_minutes else ""
    yield Phrase(
        f". Only final ones count; a window is judged{settle}, unless it has fewer than {condition.min_total:,}."
    )


def _matching(rule: RuleDefinition) -> Iterator[Phrase]:
    """Say which logs: what the pattern asks for, and what the filters let through."""
    verb, value = _pattern(rule, ("with ", "with status ", "that contain ", "that fit ", "that satisfy "))
    if value:
        yield Phrase(f" {verb}")
        yield Phrase(value, strong=True)
    yield from _filters(rule)


def _pattern(rule: RuleDefinition, verbs: Sequence[str]) -> tuple[str, str]:
    """Return a verb and what the pattern looks for.

    Args:    verbs: for codes, statuses, keywords, regular expressions and CEL expressions.
    """
    value = rule.pattern_value or ""
    code, status, keyword, regex, expression = verbs
    match rule.pattern_type:
        case PatternType.ERROR_CODE:
            if value.strip() == "*":
                return code, "any error code"
            return f"{code}error ", _either([item.strip() for item in list_items(value)], "codes")
        case PatternType.STATUS:
            return status, _either(list_items(value), "statuses")
        case PatternType.KEYWORD:
            return keyword, _either([f"“{item}”" for item in list_items(value)], "words")
        case PatternType.REGEX:
            return f"{regex}the pattern ", _short(value)
        case PatternType.EXPRESSION:
            return expression, _short(value)
        case PatternType.ANY:
            return "", ""


def _filters(rule: RuleDefinition) -> Iterator[Phrase]:
    values = rule.filters.model_dump(by_alias=True)
    for field, (before, plural) in FILTER_PHRASES.items():
        if values[field]:
            yield Phrase(f" {before}")
            yield Phrase(_either(values[field], plural), strong=True)


def _schedule(rule: RuleDefinition) -> Iterator[Phrase]:
    schedule = rule.schedule
    if schedule is None:
        return
    days = "" if len(schedule.days) == len(DAYS) else " on " + ", ".join(DAYS[day] for day in schedule.days)
    yield Phrase(" Only ")
    yield Phrase(f"between {schedule.start} and {schedule.end}{days}", strong=True)
    yield Phrase(f" ({schedule.timezone}).")


def _notifications(rule: RuleDefinition) -> Iterator[Phrase]:
    if rule.renotify_minutes is None:
        yield Phrase(" Never reminds")
    else:
        yield Phrase(" Reminds ")
        yield Phrase(_every(rule.renotify_minutes), strong=True)
        yield Phrase(" until somebody acknowledges it")
    yield Phrase(", and resolves ")
    if isinstance(rule.condition, Each | NewValue | Threshold):
        if rule.resolve_after_minutes:
            yield Phrase(window(rule.resolve_after_minutes), strong=True)
            yield Phrase(" after the last match")
        else:
            yield Phrase("with the last match")
        yield from _threshold_resolve(rule.condition)
    elif isinstance(rule.condition, Ratio) and rule.condition.resolve_percent is not None:
        yield Phrase("as soon as it is below ")
        yield Phrase(f"{number(rule.condition.resolve_percent)}%", strong=True)
    else:
        yield Phrase("as soon as that is no longer so")
    if rule.cooldown_minutes:
        yield Phrase(". After a notification, ")
        yield Phrase(window(rule.cooldown_minutes), strong=True)
        yield Phrase(" must pass before a new alert of the same kind sends another")
    yield Phrase(".")
    if rule.depends_on:
        yield Phrase(" Notifies nobody while an alert of ")
        others = "another rule" if len(rule.depends_on) == 1 else f"one of {len(rule.depends_on)} other rules"
        yield Phrase(others, strong=True)
        yield Phrase(" is open in the same account.")


def _threshold_resolve(condition: Condition) -> Iterator[Phrase]:
    if isinstance(condition, Threshold) and condition.resolve_count is not None:
        yield Phrase(", if fewer than ")
        yield Phrase(f"{condition.resolve_count:,}", strong=True)
        yield Phrase(" are left in the window")


def _within(minutes: int) -> Iterator[Phrase]:
    yield Phrase(" within ")
    yield Phrase(window(minutes), strong=True)
    yield Phrase(".")


def _every(minutes: int) -> str:
    return f"every {window(minutes).removeprefix('an ').removeprefix('a ')}"


def _article(rule: RuleDefinition) -> str:
    return "an" if NOUNS[rule.log_type][0] in "aeiou" else "a"


def _count(rule: RuleDefinition, count: int) -> str:
    return f"{count:,} {(NOUNS if count == 1 else PLURALS)[rule.log_type]}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_PATTERN_LENGTH else f"{text[:MAX_PATTERN_LENGTH]}…"


def _either(values: Sequence[str], plural: str) -> str:
    if len(values) > MAX_NAMED_VALUES:
        return f"{_short(values[0])} or {len(values) - 1:,} other {plural}"
    shown = [_short(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
