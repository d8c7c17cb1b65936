"""The rule packs that come with the product."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from app.enums import PatternType
from app.errors import NotFound
from app.services.rules.conditions.ratio import Ratio
from app.services.rules.definition import parse_rule
from app.services.rules.packs import FOLDER, find_pack, list_packs
from app.services.rules.patterns import code_ranges
from app.services.rules.rule_index import RuleIndex
from app.services.twilio.error_codes import describe
from tests.factories import make_log, make_rule


def test_there_is_a_pack_for_each_kind_of_trouble() -> None:
    assert [pack.name for pack in list_packs()] == [
        "10dlc",
        "carrier_filtering",
        "delivery",
        "fraud",
        "silence",
        "spend",
        "voice_sip",
        "webhooks",
    ]


def test_every_rule_has_a_slug_and_a_name_of_its_own_and_a_reason() -> None:
    rules = [rule for pack in list_packs() for rule in pack.rules]
    assert max(Counter(rule.slug for rule in rules).values()) == 1
    assert max(Counter(rule.definition.name for rule in rules).values()) == 1
    assert all(len(rule.definition.description) > 40 for rule in rules)


def test_every_rule_can_be_sent_as_it_is_shown() -> None:
    for pack in list_packs():
        shown = pack.as_json()
        assert set(shown) == {"name", "description", "rules"}
        for body, rule in zip(shown["rules"], pack.rules, strict=True):
            assert parse_rule(body) == rule.definition


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_pack_is_what_its_file_says(path: Path) -> None:
    written = yaml.safe_load(path.read_text())
    pack = find_pack(path.stem)
    shown = pack.as_json()
    assert shown["description"] == written["description"]
    assert [rule.slug for rule in pack.rules] == [f"{path.stem}/{body.pop('slug')}" for body in written["rules"]]
    for found, body in zip(shown["rules"], written["rules"], strict=True):
        assert {name: found[name] for name in body if name not in ("condition", "filters")} == {
            name: value for name, value in body.items() if name not in ("condition", "filters")
        }
        for name in ("condition", "filters"):
            assert found[name].items() >= body.get(name, {}).items()


def test_a_share_of_an_hour_resolves_well_below_its_limit() -> None:
    conditions = [rule.definition.condition for pack in list_packs() for rule in pack.rules]
    shares = [each for each in conditions if isinstance(each, Ratio) and each.window_minutes <= 60]
    assert shares
    assert all(0.6 * each.percent <= each.resolves_below <= 0.85 * each.percent for each in shares)


def test_the_codes_of_the_rules_are_codes_of_twilio() -> None:
    for pack in list_packs():
        for rule in pack.rules:
            if rule.definition.pattern_type == PatternType.ERROR_CODE:
                singles = [
                    one.first for one in code_ranges(rule.definition.pattern_value or "") if one.first == one.last
                ]
                assert [code for code in singles if describe(code).message == "unknown code"] == []


def test_all_rules_of_all_packs_run_together() -> None:
    rules = [
        make_rule(
            **{
                name: body[name]
                for name in ("name", "log_type", "pattern_type", "pattern_value", "condition", "filters")
            }
        )
        for pack in list_packs()
        for body in pack.as_json()["rules"]
    ]
    index = RuleIndex(rules)
    logs = [
        make_log(status="undelivered", error_code=30034),
        make_log(log_type="call", status="completed", duration_seconds=2, to="+8821234", to_country=None, text=None),
        make_log(log_type="error", status=None, level="error", error_code=11200, direction=None),
    ]
    found = [{rule.name for rule in matched} for matched in index.match_batch(logs)]
    assert {"Messages fail", "A sender is not registered"} <= found[0]
    assert {"Calls end within six seconds", "Calls to premium or satellite numbers"} <= found[1]
    assert {"A webhook fails", "Webhooks fail often"} <= found[2]
    assert index.pop_failures().reasons == {}


def test_an_unknown_pack_is_not_found() -> None:
    with pytest.raises(NotFound):
        find_pack("../../etc/passwd")
