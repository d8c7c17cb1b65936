"""What is exported and imported into an empty GiftPulse is the same, key by key, whatever was made."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.services import rule_admin
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import actions
from app.services.transfer import transfer, yaml_text
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject
from tests.kits.databases import delete_all
from tests.profiles import examples

zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
days = st.lists(st.sampled_from(["mon", "wed", "sun"]), unique=True)
clock_times = st.sampled_from(["00:00", "06:30", "22:00", "23:59"])
percents = st.one_of(st.integers(1, 100), st.sampled_from([0.5, 2.25, 99.9]))


def lower(condition: dict[str, Any], limit: str, resolve: str, part: float | None) -> dict[str, Any]:
    """Let the alerts of a condition resolve at a part of its limit; None: at the limit."""
    if part is None:
        return condition
    value = condition[limit] * part
    return condition | {resolve: max(int(value), 1) if isinstance(condition[limit], int) else value}


parts = st.sampled_from([None, 1, 0.5, 0.25])
conditions = st.one_of(
    st.just({"type": "each"}),
    st.builds(
        lambda count, window, part: lower(
            {"type": "threshold", "count": count, "window_minutes": window}, "count", "resolve_count", part
        ),
        st.integers(1, 1000),
        st.integers(1, 1440),
        parts,
    ),
    st.builds(
        lambda percent, least, settle, part: lower(
            {"type": "ratio", "percent": percent, "window_minutes": 60, "min_total": least, "settle_minutes": settle},
            "percent",
            "resolve_percent",
            part,
        ),
        percents,
        st.integers(1, 500),
        st.integers(0, 60),
        parts,
    ),
    st.just({"type": "no_data", "window_minutes": 30, "min_count": 2}),
    st.just({"type": "spike", "factor": 2.5, "window_minutes": 15, "baseline_windows": 8, "min_count": 20}),
    st.just({"type": "new_value", "field": "to_country", "lookback_days": 7}),
    st.just({"type": "stuck", "older_than_minutes": 30, "min_count": 3}),
    st.just({"type": "sum", "field": "price", "at_least": 12.5, "window_minutes": 60}),
)
schedules = st.fixed_dictionaries(
    {"timezone": zones, "days": days.filter(bool), "start": clock_times, "end": clock_times}
)
rules = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["NO", "1e3", "- a: b", "Überfällig?", "null"]),
        "description": st.sampled_from(["", "https://example.com/runbook#1", "two\nlines\n"]),
        "enabled": st.booleans(),
        "severity": st.sampled_from(["info", "warning", "critical"]),
        "log_type": st.just("message"),
        "pattern_type": st.just("status"),
        "pattern_value": st.just("failed,undelivered"),
        "condition": conditions,
        "group_by": st.lists(st.sampled_from(["to_country", "account_sid"]), unique=True),
        "filters": st.sampled_from([{}, {"to_country": ["NO", "GB"]}, {"from": ["+14155550100"]}]),
        "renotify_minutes": st.one_of(st.none(), st.integers(1, 1440)),
        "resolve_after_minutes": st.integers(0, 1440),
        "cooldown_minutes": st.integers(0, 60),
        "schedule": st.one_of(st.none(), schedules),
    }
)
reports = st.fixed_dictionaries(
    {
        "every": st.sampled_from(["day", "week"]),
        "weekday": st.sampled_from(["mon", "sun"]),
        "at": clock_times,
        "timezone": zones,
    }
)
mails = st.fixed_dictionaries(
    {
        "action_type": st.just("email"),
        "enabled": st.booleans(),
        "min_severity": st.sampled_from(["info", "critical"]),
        "notify_on": st.sampled_from([["firing"], ["firing", "resolved"], ["firing", "update", "resolved"]]),
        "after_minutes": st.sampled_from([0, 1, 1440]),
        "bundle_seconds": st.sampled_from([0, 1, 3600]),
        "report": st.one_of(st.none(), reports),
        "config": st.sampled_from(
            [{"recipients": ["a@example.com"]}, {"recipients": ["b@example.com"], "subject": "#"}]
        ),
    }
)
repeats = st.fixed_dictionaries({"timezone": zones, "days": days, "start": clock_times, "end": clock_times})
spans = st.tuples(st.one_of(st.none(), st.integers(1, 900)), st.one_of(st.none(), repeats)).filter(any)
"""For how many days a silence holds, and when it repeats."""


def make_rules(session: Session, bodies: list[JsonObject], data: st.DataObject) -> list[str]:
    """Make rules that depend on some that were made before."""
    made: list[str] = []
    for body in bodies:
        depends_on = data.draw(st.lists(st.sampled_from(made), unique=True, max_size=3)) if made else []
        try:
            with session.begin_nested():
                rule = rule_admin.create(session, body | {"depends_on": depends_on}, get_settings(), utc_now())
        except InvalidInput:
            continue  # such as a silence of traffic that its schedule never holds whole
        made.append(str(rule.id))
    assume(made)
    return made


def export() -> JsonObject:
    """What is exported, in the order of the slugs."""
    with session_scope() as session:
        found: JsonObject = yaml_text.load(transfer.export(session, get_settings(), utc_now()))
    return {
        name: sorted(items, key=lambda item: item["slug"]) if isinstance(items, list) else items
        for name, items in found.items()
    }


def bring(document: str) -> list[str]:
    with session_scope() as session:
        planned = transfer.apply_document(session, document, get_settings(), "ann", utc_now(), prune=False)
        return [each.change for each in planned]


@pytest.mark.hunt
@settings(max_examples=examples(6), suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    bodies=st.lists(rules, min_size=1, max_size=5),
    targets=st.lists(mails, max_size=3),
    held=st.lists(spans, max_size=3),
)
def test_an_export_can_be_imported_unchanged(
    database: str,
    data: st.DataObject,
    bodies: list[JsonObject],
    targets: list[JsonObject],
    held: list[tuple[int | None, JsonObject | None]],
) -> None:
    now = utc_now()
    with session_scope() as session:
        delete_all(session)
        made = make_rules(session, bodies, data)
        for body in targets:
            rule_id = data.draw(st.sampled_from([None, *made]))
            actions.create(session, body | {"rule_id": rule_id}, get_settings(), now)
        for length, repeat in held:
            ends_at = None if length is None else now + timedelta(days=length)
            silences.create(session, None, {"to_country": "NO"}, Validity(now, ends_at, repeat), "works", "ann", now)
    before = export()
    with session_scope() as session:
        delete_all(session)
    document = json.dumps(before) if data.draw(st.booleans()) else yaml_text.dump(before)
    assert set(bring(document)) == {"create"}
    assert export() == before
    assert bring(document) == []
