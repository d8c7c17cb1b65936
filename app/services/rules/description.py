"""Describes a rule in one paragraph, including every default. Pure."""

from collections.abc import Iterator, Sequence
from functools import partial

from app.enums import PatternType
from app.services.rules.definition import RuleDefinition
from app.services.rules.patterns import list_items
from app.services.rules.words import NEW_VALUE_NAMES, Phrase, RuleFacts
from app.utils.quantities import window
from app.utils.zones import WEEKDAYS

MAX_NAMED_VALUES = 3
"""Longer lists are counted instead of written out."""
MAX_PATTERN_LENGTH = 60
FILTER_PHRASES = {
    "direction": ("with direction ", "directions"),
    "level": ("of level ", "levels"),
    "from": ("from ", "senders"),
    "to": ("to ", "recipients"),
    "to_country": ("to ", "countries"),
    "messaging_service_sid": ("by messaging service ", "messaging services"),
    "account_sid": ("of account ", "accounts"),
}
"""The words for each filter, in the order of a sentence: before its values, and their plural."""
DAY_NAMES: dict[str, str] = {day: day.title() for day in WEEKDAYS}


def describe_rule(rule: RuleDefinition) -> list[Phrase]:
    """Describe when a rule opens an alert, when it reminds, and when the alert resolves."""
    opens = [Phrase("Opens ")] if rule.enabled else [Phrase("Disabled. When enabled, it opens ")]
    return [*opens, *_alert(rule), *_notifications(rule)]


def describe_condition(rule: RuleDefinition) -> list[Phrase]:
    """Describe when a rule opens an alert."""
    return [Phrase("Opens "), *_alert(rule)]


def describe_resolve(rule: RuleDefinition) -> list[Phrase]:
    """Describe when the alerts of a rule resolve."""
    return [Phrase("Resolves "), *rule.condition.resolves_when(rule.resolve_after_minutes), Phrase(".")]


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


def _condition(rule: RuleDefinition) -> Iterator[Phrase]:
    matching, filters = list(_matching(rule)), list(_filters(rule))
    facts = RuleFacts(rule.log_type, rule.group_by, matching, filters, partial(_pattern, rule))
    return rule.condition.opens_when(facts)


def _matching(rule: RuleDefinition) -> Iterator[Phrase]:
    """Describe the logs that a rule matches: its pattern and its filters."""
    verb, value = _pattern(rule, ("with ", "with status ", "containing ", "fitting ", "satisfying "))
    if value:
        yield Phrase(f" {verb}")
        yield Phrase(value, strong=True)
    yield from _filters(rule)


def _pattern(rule: RuleDefinition, verbs: Sequence[str]) -> tuple[str, str]:
    """Return a verb, and the description of the pattern.

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
    days = "" if len(schedule.days) == len(DAY_NAMES) else " on " + ", ".join(DAY_NAMES[day] for day in schedule.days)
    yield Phrase(" Only ")
    yield Phrase(f"between {schedule.start} and {schedule.end}{days}", strong=True)
    yield Phrase(f" ({schedule.timezone}).")


def _notifications(rule: RuleDefinition) -> Iterator[Phrase]:
    if rule.renotify_minutes is None:
        yield Phrase(" Never reminds")
    else:
        yield Phrase(" Reminds at most ")
        yield Phrase(_every(rule.renotify_minutes), strong=True)
        yield Phrase(" while new matches arrive and nobody has acknowledged it")
    yield Phrase(", and resolves ")
    yield from rule.condition.resolves_when(rule.resolve_after_minutes)
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


def _every(minutes: int) -> str:
    return f"every {window(minutes).removeprefix('an ').removeprefix('a ')}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_PATTERN_LENGTH else f"{text[:MAX_PATTERN_LENGTH]}…"


def _either(values: Sequence[str], plural: str) -> str:
    if len(values) > MAX_NAMED_VALUES:
        return f"{_short(values[0])} or {len(values) - 1:,} other {plural}"
    shown = [_short(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
