"""The SQL of a preview, as text and values. Pure.

Two tables, `versions` and `states` (the latest state of a log), have the fields of a `LogVersion` as columns, so a
rule's population and pattern are translated once.
"""

from collections.abc import Iterable
from typing import Any

from app.enums import PatternType
from app.services.log_fields import FIELDS
from app.services.rules.patterns import code_ranges, list_items
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

Values = dict[str, Any]

_MAX_CODE = 2**40
_IDENTITY = """
    log.id AS log_id, log.account_id, account.sid AS account_sid, log.sid, log.log_type, log.occurred_at
"""


def _columns(changing: str) -> str:
    """List the fields of a log under the names of `LogVersion`.

    Args:    changing: the alias of the table with the fields of changes.
    """
    return ", ".join(f'{changing if each.in_changes else "log"}.{each.column} AS "{each.attribute}"' for each in FIELDS)


_JOIN = "LEFT JOIN accounts AS account ON account.id = log.account_id"
VERSIONS = f"""(
    SELECT change.id AS change_id, change.is_first, {_IDENTITY}, {_columns("change")},
           change.changed_at, change.final, log.final AS now_final, log.changed_at AS now_changed_at
    FROM log_changes AS change JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
         {_JOIN}
) AS version"""
STATES = f"""(
    SELECT 0 AS change_id, true AS is_first, {_IDENTITY}, {_columns("log")}, log.changed_at, log.final
    FROM logs AS log {_JOIN}
) AS version"""

_OF_PATTERN: dict[PatternType, tuple[str, ...]] = {
    PatternType.ANY: (),
    PatternType.ERROR_CODE: ("error_code",),
    PatternType.STATUS: ("status",),
    PatternType.KEYWORD: ("text", "error_message"),
    PatternType.REGEX: ("text", "error_message"),
    PatternType.EXPRESSION: tuple(name for name in LogVersion._fields if name not in {"change_id", "is_first"}),
}


def attribute(field: str) -> str:
    """Return the attribute of `LogVersion` for a field of the API."""
    return "from_" if field == "from" else field


def fields_of(rule: Rule) -> frozenset[str]:
    """Return the fields that decide whether a log matches a rule, and in which group."""
    names = {*map(attribute, (*rule.group_by, *rule.filters)), *_OF_PATTERN[rule.pattern_type], "log_type"}
    if rule.condition.watched_field:
        names.add(attribute(rule.condition.watched_field))
    return frozenset(names)


def select(fields: Iterable[str], *more: str) -> str:
    """Build a SELECT of a `LogVersion` with these fields and null for the others."""
    wanted = frozenset(fields)
    columns = [f'"{name}"' if name in wanted else f'NULL AS "{name}"' for name in LogVersion._fields]
    return "SELECT " + ", ".join([*columns, *more])


def group_by(fields: Iterable[str], *more: str) -> str:
    """Build a GROUP BY of these fields."""
    return " GROUP BY " + ", ".join([*(f'"{name}"' for name in sorted(fields)), *more])


def minute(column: str) -> str:
    """Build the end of the minute of a time: windows are open on the left."""
    return f"date_bin('1 minute', {column} - interval '1 microsecond', '2000-01-01Z') + interval '1 minute'"


def population(rule: Rule) -> tuple[str, Values]:
    """Build the condition of a rule's population."""
    conditions, values = ["true"], Values()
    if rule.log_type != "any":
        conditions.append("log_type = :log_type")
        values["log_type"] = rule.log_type
    for field, wanted in rule.filters.items():
        conditions.append(f'"{attribute(field)}" = ANY(:filter_{field})')
        values[f"filter_{field}"] = sorted(wanted)
    return " AND ".join(conditions), values


def sql_decides(rule: Rule) -> bool:
    """Return whether SQL can evaluate the pattern; texts and expressions need the pattern index."""
    return rule.pattern_type in {PatternType.ANY, PatternType.ERROR_CODE, PatternType.STATUS}


def pattern(rule: Rule) -> tuple[str, Values]:
    """Build the condition of a rule's pattern. If SQL cannot evaluate it, the condition includes all logs that may
    match.
    """
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        return "status = ANY(:statuses)", {"statuses": list_items(value)}
    if rule.pattern_type == PatternType.ERROR_CODE:
        ranges = code_ranges(value)
        bounds = "unnest(CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS bounds (first, last)"
        return f"EXISTS (SELECT FROM {bounds} WHERE error_code BETWEEN first AND last)", {
            "firsts": [max(each.first, -_MAX_CODE) for each in ranges],
            "lasts": [min(each.last, _MAX_CODE) for each in ranges],
        }
    if rule.pattern_type == PatternType.KEYWORD and value.isascii():
        return _KEYWORDS, {"words": [f"%{_escaped(word)}%" for word in list_items(value)]}
    return "true", {}


_KEYWORDS = """
    ("text" ILIKE ANY(:words) OR error_message ILIKE ANY(:words) OR "text" ~ '[\u017f\u212a]'
     OR error_message ~ '[\u017f\u212a]')
"""
"""Without case, RE2 equates the long s and the kelvin sign with ASCII letters; ILIKE does not."""


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def counted_fields(rule: Rule) -> frozenset[str]:
    """Return the fields by which a condition counts separately: `final`, or the currency."""
    if rule.condition.counts_final:
        return frozenset({"final"})
    return frozenset({"price_unit"} if rule.condition.summed_field == "price" else ())
