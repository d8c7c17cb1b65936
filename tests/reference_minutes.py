"""A small, obvious evaluator of the conditions over time: each minute once, by what is stored when it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

SEEN = 7 * 24 * 60
"""A group of `no_data` is missed for so many minutes after it was seen."""


@dataclass(frozen=True)
class Known:
    """One log as it stands when a minute is judged. Times are minutes after the rule began."""

    group: str
    occurred: float
    matches: bool
    final: bool = True
    amount: float = 0.0
    first_matched: float | None = None
    """When it came into the first of its states that matches."""
    read: float = 0.0
    """When Twilio was last asked about it."""


class ExpectedAlert(NamedTuple):
    """One alert."""

    group: str
    started: int
    resolved: int | None


@dataclass
class _Open:
    started: int
    since: float
    """Where the window that fired begins."""
    baseline: float | None = None
    insufficient_since: int | None = None


def alerts(
    condition: Mapping[str, Any],
    grouped: bool,
    first: int,
    looks: Sequence[tuple[int, Sequence[Known]]],
) -> list[ExpectedAlert]:
    """Judge the minutes from `first` on.

    Args:    looks: (the streams are complete up to this minute, what is stored then), in their order.
    """
    expected: list[ExpectedAlert] = []
    spans: dict[str, list[tuple[float, int]]] = {}
    opened: dict[str, _Open] = {}
    judged = first - 1
    for until, logs in looks:
        for at in range(judged + 1, until + 1):
            for group in sorted({log.group for log in logs} | opened.keys() | (set() if grouped else {""})):
                own = [log for log in logs if log.group == group]
                alert = opened.get(group)
                holds, more = _judge(condition, grouped, first, at, own, alert, spans.get(group, []))
                if alert is None:
                    if holds:
                        opened[group] = _Open(at, more.get("since", at), more.get("baseline"))
                    continue
                alert.insufficient_since = more.get("short_since")
                if holds is False or more.get("passed"):
                    expected.append(ExpectedAlert(group, alert.started, at))
                    spans.setdefault(group, []).append((alert.since, at))
                    del opened[group]
        judged = max(judged, until)
    return sorted(
        [*expected, *(ExpectedAlert(group, alert.started, None) for group, alert in opened.items())], key=repr
    )


def _judge(
    condition: Mapping[str, Any],
    grouped: bool,
    first: int,
    at: int,
    logs: Sequence[Known],
    alert: _Open | None,
    spans: Sequence[tuple[float, int]],
) -> tuple[bool | None, dict[str, Any]]:
    """Say whether the condition holds, and what else is to be kept of it."""
    window = condition.get("window_minutes", 0)

    def within(end: float, length: float = window) -> list[Known]:
        return [log for log in logs if end - length < log.occurred <= end]

    match condition["type"]:
        case "ratio":
            final = [log for log in within(at - condition["settle_minutes"]) if log.final]
            if len(final) >= condition["min_total"]:
                lower = condition.get("resolve_percent", condition["percent"])
                limit = condition["percent"] if alert is None else lower
                return 100 * sum(log.matches for log in final) >= limit * len(final), {}
            since = alert.insufficient_since if alert and alert.insufficient_since is not None else at
            return (False, {}) if alert and at - since >= 2 * window else (None, {"short_since": since})
        case "no_data":
            silent = sum(log.matches for log in within(at)) < condition["min_count"]
            seen = any(log.first_matched is not None for log in within(at, max(SEEN, 2 * window)))
            return (silent and (seen or not grouped or alert is not None)), {}
        case "spike":
            counts = [
                _matched(logs, at - number * window, window) for number in range(condition["baseline_windows"] + 1)
            ]
            baseline = alert.baseline if alert and alert.baseline else max(1.0, float(median(counts[1:])))
            limit = max(float(condition["min_count"]), condition["factor"] * baseline)
            return counts[0] >= limit if alert is None else counts[0] >= 0.8 * limit, {"baseline": baseline}
        case "stuck":
            age = condition["older_than_minutes"]
            stuck = [log for log in logs if log.matches and not log.final and log.occurred + age <= at]
            return sum(log.read >= log.occurred + age for log in stuck) >= condition["min_count"], {}
    return _sum(condition, first, at, within, spans)


def _matched(logs: Sequence[Known], end: float, length: float) -> int:
    return sum(log.first_matched is not None and end - length < log.first_matched <= end for log in logs)


def _sum(
    condition: Mapping[str, Any], first: int, at: int, within: Any, spans: Sequence[tuple[float, int]]
) -> tuple[bool, dict[str, Any]]:
    """The latest window, or else the last one that reached the limit and shares no time with what was told."""
    window = condition["window_minutes"]

    def reaches(end: float) -> bool:
        amount: float = sum(log.amount for log in within(end) if log.matches)
        return amount >= float(condition["at_least"]) - 1e-9

    if reaches(at):
        return True, {"since": at - window}
    for end in range(at - 1, first - 1, -1):
        expected = any(end > since and end - window < until for since, until in spans)
        if reaches(end) and not expected and (end == first or within(end, 1)):
            return True, {"since": end - window, "passed": True}
    return False, {}
