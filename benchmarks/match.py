"""Measures how many logs a second the pattern index matches, next to a loop over all rules, in one run.

    python -m benchmarks.match

The rules are typical: 40 % lists of codes, 20 % statuses of one sender, 25 % keywords, 15 % regular expressions.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import re2

from app.enums import PatternType
from app.services.rules.conditions.each import Each
from app.services.rules.patterns import code_ranges, text_patterns
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion

LOGS = 10_000
BATCH = 5_000
RUNS = 5
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
WORDS = (
    "hello",
    "your",
    "order",
    "is",
    "ready",
    "code",
    "late",
    "lost",
    "parcel",
    "thanks",
    "reply",
    "stop",
    "carrier",
)


def make_rules(chance: random.Random, count: int) -> list[Rule]:
    """Create typical rules."""
    return [_rule(number, *pattern(chance, number)) for number in range(count)]


def pattern(chance: random.Random, number: int) -> tuple[PatternType, str, dict[str, frozenset[str]]]:
    kind = chance.random()
    code = chance.randrange(10_000, 64_000)
    if kind < 0.32:
        return PatternType.ERROR_CODE, f"{code},{code + 7},{code + 99}", {}
    if kind < 0.40:
        return PatternType.ERROR_CODE, f"{code}-{code + 50}", {}
    if kind < 0.60:
        sender = frozenset({f"+1415{chance.randrange(10**7):07}"})
        return PatternType.STATUS, chance.choice(("failed", "undelivered", "failed,undelivered")), {"from": sender}
    if kind < 0.85:
        return PatternType.KEYWORD, f"phrase{number},word {number},carrier{number}", {}
    return PatternType.REGEX, rf"\border[- ]?{number}\b.*(late|lost)", {}


def _rule(number: int, kind: PatternType, value: str, filters: dict[str, frozenset[str]]) -> Rule:
    return Rule(
        id=UUID(int=number),
        epoch=1,
        name=f"Rule {number}",
        severity="info",
        log_type="message",
        filters=filters,
        pattern_type=kind,
        pattern_value=value,
        condition=Each(),
        group_by=(),
        schedule=None,
        started_at=NOW,
        resolve_after_minutes=60,
        renotify_minutes=None,
        cooldown_minutes=10,
    )


def make_logs(chance: random.Random, count: int) -> list[LogVersion]:
    """Create messages of a hundred characters, no two alike; one in ten has a code."""
    return [
        LogVersion(
            change_id=number,
            log_id=number,
            is_first=True,
            account_id=1,
            account_sid="AC1",
            sid=f"SM{number}",
            log_type="message",
            status=chance.choice(["delivered"] * 8 + ["failed", "undelivered"]),
            level=None,
            direction="outbound-api",
            from_=f"+1415{chance.randrange(10**7):07}",
            to=f"+44{number:09}",
            to_country="GB",
            error_code=chance.choice([None] * 9 + [chance.randrange(10_000, 64_000)]),
            error_message=None,
            text=" ".join(chance.choice(WORDS) for _ in range(18)) + str(number),
            price=Decimal("-0.0075"),
            price_unit="USD",
            duration_seconds=None,
            segments=1,
            messaging_service_sid=None,
            resource_sid=None,
            occurred_at=NOW,
            changed_at=NOW,
            final=True,
        )
        for number in range(count)
    ]


def loop(rules: Sequence[Rule]) -> Callable[[Sequence[LogVersion]], int]:
    """Build the plain loop over all rules, each compiled once; it returns the number of hits."""
    tests = [_test(rule) for rule in rules]
    return lambda logs: sum(test(log) for log in logs for test in tests)


def _test(rule: Rule) -> Callable[[LogVersion], bool]:
    value = rule.pattern_value or ""
    senders = rule.filters.get("from")
    if rule.pattern_type == PatternType.ERROR_CODE:
        ranges = code_ranges(value)
        return lambda log: log.error_code is not None and any(one.first <= log.error_code <= one.last for one in ranges)
    if rule.pattern_type == PatternType.STATUS:
        statuses = value.split(",")
        return lambda log: log.status in statuses and (senders is None or log.from_ in senders)
    patterns = [re2.compile(pattern) for pattern in text_patterns(rule)]
    return lambda log: any(pattern.search(log.text or "") is not None for pattern in patterns)


def measure(work: Callable[[Sequence[LogVersion]], int], logs: Sequence[LogVersion]) -> tuple[float, int]:
    """Return the best rate of several runs in logs a second, and the number of hits."""
    best, hits = 0.0, 0
    for _ in range(RUNS):
        began = time.perf_counter()
        hits = sum(work(logs[start : start + BATCH]) for start in range(0, len(logs), BATCH))
        best = max(best, len(logs) / (time.perf_counter() - began))
    return best, hits


def main() -> None:
    chance = random.Random(3)
    logs = make_logs(chance, LOGS)
    print(f"{'rules':>6} {'build ms':>9} {'index logs/s':>13} {'loop logs/s':>12} {'times':>7}")
    for count in (10, 100, 1_000, 10_000):
        rules = make_rules(chance, count)
        began = time.perf_counter()
        index = RuleIndex(rules)
        build = time.perf_counter() - began
        few = logs[: max(20, 200_000 // count)]
        slow, wanted = measure(loop(rules), few)
        assert wanted == sum(map(len, index.match_batch(few))), "the index and the loop must agree"
        fast, _ = measure(lambda batch: sum(map(len, index.match_batch(batch))), logs)  # noqa: B023
        print(f"{count:>6} {build * 1000:>9.1f} {fast:>13,.0f} {slow:>12,.0f} {fast / slow:>7.0f}")


if __name__ == "__main__":
    main()
