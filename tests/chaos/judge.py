"""Compares Twilio's logs, stored logs, expected alerts and received notifications."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.environment import Environment, ReceivedNotification
from tests.chaos.rules import KINDS, Fact, facts_of

MAX_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """The faults that were found, and the numbers of what was checked."""

    faults: list[str]
    figures: dict[str, int]


def judge(environment: Environment) -> Verdict:
    """Check everything once. When the environment has settled, there must be no fault."""
    facts = facts_of(environment.simulator.emitted())
    received = _received(environment)
    faults = [*_logs(environment, facts), *_alerts(environment, facts), *_deliveries(environment, received)]
    return Verdict(faults, _figures(environment, facts, received))


def _received(environment: Environment) -> list[ReceivedNotification]:
    mails = [
        ReceivedNotification(mail["Message-ID"].removeprefix("<gp.").partition("@")[0], 0.0, mail.as_bytes(), recipient)
        for recipient, mail in list(environment.mail.mails)
    ]
    return [*environment.ledger.received, *mails]


def _figures(environment: Environment, facts: list[Fact], received: list[ReceivedNotification]) -> dict[str, int]:
    attempts = Counter(dict(environment.query("SELECT outcome, count(*) FROM attempts GROUP BY outcome")))
    statuses = dict(environment.query("SELECT status, count(*) FROM deliveries GROUP BY status"))
    copies = Counter(each.id for each in received)
    [[alerts, built_in]] = environment.query("SELECT count(rule_id), count(*) - count(rule_id) FROM alerts")
    return {
        "logs": len(facts),
        "alerts": alerts,
        "built-in alerts": built_in,
        "deliveries": sum(statuses.values()),
        **{f"deliveries {status}": number for status, number in sorted(statuses.items())},
        **{f"attempts {outcome}": number for outcome, number in sorted(attempts.items())},
        "notifications taken": copies.total(),
        "taken more than once": copies.total() - len(copies),
    }


def _sample(items: Any) -> str:
    shown = sorted(map(str, items))
    return f"{len(shown)}: " + ", ".join(shown[:MAX_SHOWN])


def _logs(environment: Environment, facts: list[Fact]) -> Iterator[str]:
    """Every log is stored once, in its last state."""
    rows = environment.query("SELECT sid, status, error_code FROM logs")
    stored = {row[0]: (row[1], row[2]) for row in rows}
    if len(stored) < len(rows):
        yield "logs are stored twice"
    if missing := {fact.sid for fact in facts} - stored.keys():
        yield f"logs are missing: {_sample(missing)}"
    if foreign := stored.keys() - {fact.sid for fact in facts}:
        yield f"logs are stored that Twilio never had: {_sample(foreign)}"
    differ = [fact.sid for fact in facts if fact.sid in stored and stored[fact.sid] != (fact.status, fact.code)]
    if differ:
        yield f"logs are not stored as they were last: {_sample(differ)}"


def _alerts(environment: Environment, facts: list[Fact]) -> Iterator[str]:
    """The alerts are those of the reference evaluator, and the expected ones are resolved."""
    found: dict[tuple[str, Any], list[tuple[Any, ...]]] = defaultdict(list)
    for name, group, started_at, resolved_at, occurrences in environment.query(
        'SELECT rule_name, "group", started_at, resolved_at, occurrences FROM alerts WHERE rule_id IS NOT NULL'
    ):
        found[name, tuple(group.values())].append((started_at, occurrences, resolved_at))
    for kind in KINDS:
        expected = {
            (kind.name, group): [(each.started_at, each.occurrences, each.resolved_at) for each in episodes]
            for group, episodes in kind.expected(facts).items()
        }
        ends = kind.body["resolve_after_minutes"] == 0
        for key in expected.keys() | {key for key in found if key[0] == kind.name}:
            wanted = sorted(each if ends else (*each[:2], None) for each in expected.get(key, []))
            if sorted(found.get(key, []), key=str) != sorted(wanted, key=str):
                yield f"alerts of {key} are {_rows(found.get(key, []))} and not {_rows(wanted)}"
    [[waiting]] = environment.query(
        "SELECT count(*) FROM log_changes c"
        " JOIN stream_evaluations e ON e.stream_id = c.stream_id AND c.id > e.change_id"
    )
    if waiting:
        yield f"{waiting} changes are not evaluated"


def _rows(rows: list[tuple[Any, ...]]) -> str:
    shown = sorted(rows, key=str)[:MAX_SHOWN]
    return f"[{len(rows)}] " + "; ".join(f"{at:%T} x{count} until {end and f'{end:%T}'}" for at, count, end in shown)


def _deliveries(environment: Environment, received: list[ReceivedNotification]) -> Iterator[str]:
    """Every alert notifies each receiver once; deliveries arrive in order, with one id, and seldom twice."""
    rows = environment.query(
        "SELECT d.id::text, d.alert_id, d.action_id, d.recipient, d.type, d.status, d.number, d.digest_id IS NULL,"
        " (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND (a.outcome = 'unknown'"
        "  OR (a.outcome = 'retry' AND a.status_code IS NULL))),"
        " (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id), d.lease_token IS NOT NULL FROM deliveries d"
    )
    copies = Counter(each.id for each in received)
    if strangers := copies.keys() - {row[0] for row in rows}:
        yield f"notifications were taken that nobody owes: {_sample(strangers)}"
    for status in ("pending", "failed"):
        if there := [row[0] for row in rows if row[5] == status]:
            yield f"deliveries are {status}: {_sample(there)}"
    if leased := [row[0] for row in rows if row[10]]:
        yield f"deliveries are still leased: {_sample(leased)}"
    if untold := [row[0] for row in rows if row[5] == "folded" and row[7]]:
        yield f"folded deliveries wait for their digest: {_sample(untold)}"
    if lost := [row[0] for row in rows if row[5] == "succeeded" and not copies[row[0]]]:
        yield f"deliveries succeeded that nobody took: {_sample(lost)}"
    if many := [f"{row[0]} {copies[row[0]]}x" for row in rows if copies[row[0]] - 1 > row[8]]:
        yield f"deliveries were taken more often than attempts at them were cut short: {_sample(many)}"
    if unwritten := [row[0] for row in rows if copies[row[0]] > row[9]]:
        yield f"deliveries were taken more often than attempted: {_sample(unwritten)}"
    [[opened]] = environment.query("SELECT count(*) FROM attempts WHERE outcome = 'started'")
    if opened:
        yield f"{opened} attempts have no outcome"
    if len({(each.id, each.content) for each in received}) > len(copies):
        yield "a repeat differs from what was sent first"
    yield from _check_notified(environment, rows)
    yield from _order(rows, received)


def _check_notified(environment: Environment, rows: list[Any]) -> Iterator[str]:
    notified = Counter((row[1], row[2], row[3], row[4]) for row in rows if row[4] in ("alert.firing", "alert.resolved"))
    if twice := [key for key, number in notified.items() if number > 1]:
        yield f"alerts are told twice: {_sample(twice)}"
    due = environment.query(
        "SELECT a.id, c.id, a.resolved_at IS NOT NULL FROM alerts a JOIN actions c"
        " ON (c.rule_id IS NULL OR c.rule_id = a.rule_id) WHERE a.firing_notified_at IS NOT NULL"
    )
    firing = {(row[1], row[2]) for row in rows if row[4] == "alert.firing"}
    resolved = {(row[1], row[2]) for row in rows if row[4] == "alert.resolved"}
    if unnotified := [key for *key, _ in due if tuple(key) not in firing]:
        yield f"alerts are not told to all who want to know: {_sample(unnotified)}"
    if unended := [key for *key, ended in due if ended and tuple(key) not in resolved]:
        yield f"the end of alerts is not told: {_sample(unended)}"
    [[silent]] = environment.query("SELECT count(*) FROM alerts WHERE firing_notified_at IS NULL")
    if silent:
        yield f"{silent} alerts are told to nobody"


def _order(rows: list[Any], received: list[ReceivedNotification]) -> Iterator[str]:
    """The deliveries of one alert to one receiver are in order."""
    positions: dict[str, int] = {}
    for position, each in enumerate(received):
        positions.setdefault(each.id, position)
    sent: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row[1] is not None and row[0] in positions:
            sent[row[1], row[2], row[3]].append((row[6], positions[row[0]]))
    wrong = [key for key, pairs in sent.items() if [p for _, p in sorted(pairs)] != sorted(p for _, p in pairs)]
    if wrong:
        yield f"notifications of one alert came out of order: {_sample(wrong)}"
