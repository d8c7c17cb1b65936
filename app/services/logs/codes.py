"""Counts error codes by failures: a call takes its code from an entry of the error log, and the two are one failure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from app.enums import LogType
from app.services.logs.search import LogFilter
from app.services.logs.stats import Snapshot


class Code(NamedTuple):
    """An error code among the logs of one type."""

    error_code: int
    log_type: LogType


def count_codes(snapshot: Snapshot, log_filter: LogFilter) -> Counter[Code]:
    """Count the logs of a span by code and type."""
    found: Counter[Code] = Counter()
    for log_type in LogType:
        for each in snapshot.count(replace(log_filter, log_type=(log_type,)), "day", "error_code"):
            if isinstance(each.value, int):
                found[Code(each.value, log_type)] += each.count
    return found


def one_per_code(counts: Mapping[Code, int]) -> list[Code]:
    """Keep for each code the type that has the most logs with it: the others repeat the same failures.

    Returns: the most frequent code first; of equally frequent types, a call or message comes before an error-log entry.
    """
    chosen: dict[int, Code] = {}
    for code in sorted(counts, key=lambda code: (-counts[code], code.error_code, [*LogType].index(code.log_type))):
        chosen.setdefault(code.error_code, code)
    return [*chosen.values()]
