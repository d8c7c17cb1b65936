"""Rules made, edited and deleted, and what becomes of their alerts and their state."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput, NotFound
from app.models import Alert, Rule
from app.services import rule_admin
from app.services.rules.packs import find_pack, list_packs
from app.utils.clock import utc_now
from tests.feeding import Feed, evaluate, log

BODY: dict[str, Any] = {"name": "Fails", "log_type": "message", "pattern_type": "error_code", "pattern_value": "30003"}

pytestmark = pytest.mark.usefixtures("database")


def make(**fields: Any) -> UUID:
    with session_scope() as session:
        return rule_admin.create(session, BODY | fields, get_settings(), utc_now()).id


def edit(rule_id: UUID, **fields: Any) -> None:
    with session_scope() as session:
        rule_admin.patch(session, rule_id, fields, get_settings(), utc_now())


def stored(rule_id: UUID) -> Rule:
    with session_scope() as session:
        return rule_admin.get(session, rule_id)


def health(rule_id: UUID) -> dict[str, Any]:
    with session_scope() as session:
        return rule_admin.health(session, rule_admin.get(session, rule_id), get_settings())


def fire(rule_id: UUID) -> Alert:
    """Let one message fail, and return the alert."""
    now = utc_now()
    feed = Feed(now - timedelta(hours=1))
    feed.store([log(1, now + timedelta(seconds=1))], now)
    evaluate(now + timedelta(seconds=2))
    return alert_of(rule_id)


def alert_of(rule_id: UUID) -> Alert:
    with session_scope() as session:
        return session.scalars(select(Alert).where(Alert.rule_id == rule_id)).one()


def test_a_rule_is_stored_as_it_was_written() -> None:
    rule = stored(make(filters={"to_country": ["GB"]}))
    assert (rule.name, rule.filters, rule.condition) == ("Fails", {"to_country": ["GB"]}, {"type": "each"})


def test_replacing_ignores_what_only_the_product_writes() -> None:
    rule_id = make()
    with session_scope() as session:
        shown = {"id": "x", "created_at": "x", "last_error": "x", "groups": 7, "cost_ms": 1}
        rule_admin.replace(session, rule_id, BODY | shown | {"name": "Other"}, get_settings(), utc_now())
    assert stored(rule_id).name == "Other"


def test_replacing_puts_defaults_where_nothing_is_said() -> None:
    rule_id = make(severity="critical", filters={"to": ["+1"]})
    with session_scope() as session:
        rule_admin.replace(session, rule_id, BODY, get_settings(), utc_now())
    assert (stored(rule_id).severity, stored(rule_id).filters) == ("warning", {})


def test_an_invalid_patch_changes_nothing() -> None:
    rule_id = make()
    with pytest.raises(InvalidInput):
        edit(rule_id, name="Other", pattern_value="x")
    assert stored(rule_id).name == "Fails"


def test_editing_the_name_keeps_the_alert() -> None:
    rule_id = make()
    assert fire(rule_id).status == "firing"
    edit(rule_id, name="Other", severity="critical", renotify_minutes=None)
    assert alert_of(rule_id).status == "firing"
    assert stored(rule_id).epoch == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"pattern_value": "30004"}, "rule_changed"), ({"enabled": False}, "rule_disabled")],
)
def test_editing_the_meaning_or_disabling_ends_the_alert(change: dict[str, Any], reason: str) -> None:
    rule_id = make()
    fire(rule_id)
    edit(rule_id, **change)
    assert (alert_of(rule_id).status, alert_of(rule_id).resolve_reason) == ("resolved", reason)


def test_a_rule_that_restarts_forgets_its_health() -> None:
    rule_id = make(pattern_type="expression", pattern_value='log.level.contains("x")')
    now = utc_now()
    Feed(now - timedelta(hours=1)).store([log(1, now + timedelta(seconds=1))], now)
    evaluate(now + timedelta(seconds=2))
    assert "null" in health(rule_id)["last_error"]
    assert health(rule_id)["error_count"] == 1
    started_at = stored(rule_id).started_at
    edit(rule_id, pattern_value="log.final")
    assert (health(rule_id)["last_error"], health(rule_id)["error_count"]) == (None, 0)
    assert stored(rule_id).started_at > started_at


def test_a_rule_made_disabled_starts_when_it_is_enabled() -> None:
    rule_id = make(enabled=False)
    made_at = stored(rule_id).started_at
    edit(rule_id, name="Other")
    assert stored(rule_id).started_at == made_at
    edit(rule_id, enabled=True)
    assert stored(rule_id).started_at > made_at


def test_health_counts_groups() -> None:
    rule_id = make(group_by=["to_country"])
    fire(rule_id)
    assert health(rule_id)["groups"] == 1
    assert health(rule_id)["groups_capped"] is False
    assert health(rule_id)["last_matched_at"] is not None
    assert set(health(rule_id)) == set(rule_admin.HEALTH_FIELDS)


def test_a_rule_over_time_says_when_it_is_first_judged_and_is_judged_then() -> None:
    ratio = {"type": "ratio", "percent": 5, "window_minutes": 30, "settle_minutes": 10}
    rule_id = make(condition=ratio)
    first = health(rule_id)["first_judged_at"]
    started_at = stored(rule_id).started_at
    assert timedelta(minutes=40) <= first - started_at <= timedelta(minutes=41)
    feed = Feed(started_at - timedelta(hours=1))
    for at, judged in ((first - timedelta(minutes=1), None), (first, first)):
        feed.complete(at, started_at - timedelta(hours=1))
        evaluate(at)
        assert health(rule_id)["judged_until"] == judged
        assert health(rule_id)["last_evaluated_at"] == at, (
            "it was looked at, whether or not there was a minute to judge"
        )
    assert health(rule_id)["first_judged_at"] == first
    edit(rule_id, condition=ratio | {"window_minutes": 60})
    assert health(rule_id)["first_judged_at"] > first


@pytest.mark.parametrize("condition", [{"type": "each"}, {"type": "threshold", "count": 3, "window_minutes": 5}])
def test_a_rule_that_goes_by_matches_judges_each_as_it_comes(condition: dict[str, Any]) -> None:
    assert health(make(condition=condition))["first_judged_at"] is None


def test_a_disabled_rule_is_not_judged() -> None:
    rule_id = make(condition={"type": "no_data", "window_minutes": 5}, enabled=False)
    assert health(rule_id)["first_judged_at"] is None
    edit(rule_id, enabled=True)
    assert health(rule_id)["first_judged_at"] is not None


def test_a_spike_is_first_judged_when_half_of_its_baseline_is_known() -> None:
    now = utc_now()
    Feed(now - timedelta(hours=1)).complete(now, now - timedelta(minutes=30))
    rule_id = make(condition={"type": "spike", "window_minutes": 15, "baseline_windows": 8})
    wait = health(rule_id)["first_judged_at"] - (now - timedelta(minutes=30))
    assert timedelta(minutes=75) <= wait <= timedelta(minutes=76)


def test_deleting_a_rule_keeps_its_alert() -> None:
    rule_id = make()
    fire(rule_id)
    with session_scope() as session:
        rule_admin.delete(session, rule_id, get_settings(), utc_now())
    assert alert_of(rule_id).resolve_reason == "rule_deleted"
    with pytest.raises(NotFound):
        stored(rule_id)


def test_two_patches_at_once_lose_neither() -> None:
    rule_id = make()
    edits: list[dict[str, Any]] = [
        {"name": "Other"},
        {"severity": "critical"},
        {"description": "why"},
        {"cooldown_minutes": 3},
    ]
    threads = [threading.Thread(target=edit, args=[rule_id], kwargs=fields) for fields in edits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rule = stored(rule_id)
    assert (rule.name, rule.severity, rule.description, rule.cooldown_minutes) == ("Other", "critical", "why", 3)


@pytest.mark.parametrize("name", [pack.name for pack in list_packs()])
def test_installing_a_pack_again_changes_nothing(name: str) -> None:
    with session_scope() as session:
        made = rule_admin.install_pack(session, name, utc_now())
    assert [rule.name for rule in made] == [rule.definition.name for rule in find_pack(name).rules]
    edit(made[0].id, name="Mine", enabled=False)
    with session_scope() as session:
        assert rule_admin.install_pack(session, name, utc_now()) == []
    assert (stored(made[0].id).name, stored(made[0].id).enabled) == ("Mine", False)


def test_a_rule_of_a_pack_that_was_deleted_comes_again() -> None:
    with session_scope() as session:
        made = rule_admin.install_pack(session, "spend", utc_now())
        rule_admin.delete(session, made[0].id, get_settings(), utc_now())
    with session_scope() as session:
        assert [rule.name for rule in rule_admin.install_pack(session, "spend", utc_now())] == [made[0].name]
