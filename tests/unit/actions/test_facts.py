"""The facts that every channel shows."""

from dataclasses import replace
from typing import Any

import pytest

from app.actions.base import Spread
from app.actions.facts import format_time, list_facts
from app.enums import NotificationType
from tests.kits import notifications
from tests.kits.notifications import FIRING, RESOLVED

SUM = {"type": "sum", "field": "price"}


@pytest.mark.parametrize(
    ("condition", "value", "said"),
    [
        ({"type": "ratio"}, 12.5, ("Share", "12.5%")),
        ({"type": "spike"}, 4.0, ("Level", "4 times the usual")),
        ({"type": "sum", "field": "price"}, 1234567.5, ("Sum", "1,234,567.50 USD")),
        ({"type": "sum", "field": "price"}, 0.0075, ("Sum", "0.0075 USD")),
        ({"type": "sum", "field": "duration_seconds"}, 7200.0, ("Sum", "7,200 seconds")),
        ({"type": "stuck"}, 7.0, ("Stuck now", "7")),
        ({"type": "threshold"}, 1200.0, ("In the window", "1,200")),
    ],
)
def test_a_value_has_the_unit_of_its_condition(condition: dict[str, Any], value: float, said: tuple[str, str]) -> None:
    assert said in list_facts(notifications.measured(condition, value))


def test_a_new_value_is_named() -> None:
    logs = [dict(FIRING.logs[0]) | {"to_country": country} for country in ("GB", "FR", None, "GB")]
    notification = notifications.measured({"type": "new_value", "field": "to_country"}, 4.0, replace(FIRING, logs=logs))
    assert ("Values", "GB, FR") in list_facts(notification)


def test_of_prices_in_two_currencies_the_one_that_passed_is_named() -> None:
    logs = [dict(FIRING.logs[0]) | {"price_unit": unit} for unit in ("USD", "EUR")]
    notification = replace(FIRING, logs=logs)
    assert ("Sum", "61.25") in list_facts(notifications.measured(SUM, 61.25, notification))
    notification = replace(notification, alert=notification.alert | {"price_unit": "EUR"})
    assert ("Sum", "61.25 EUR") in list_facts(notifications.measured(SUM, 61.25, notification))


def test_a_sum_of_one_currency_says_which() -> None:
    notification = replace(FIRING, alert=FIRING.alert | {"group": {"price_unit": "EUR"}}, logs=[])
    assert {("Sum", "61.25 EUR"), ("Currency", "EUR")} <= set(
        list_facts(notifications.measured(SUM, 61.25, notification))
    )


def test_what_was_measured_imitates_no_other_line() -> None:
    logs = [dict(FIRING.logs[0]) | {"from": "a\nBcc: b"}]
    notification = notifications.measured({"type": "new_value", "field": "from"}, 1.0, replace(FIRING, logs=logs))
    assert ("Values", "a Bcc: b") in list_facts(notification)


def test_a_group_is_described_in_words_and_in_one_order() -> None:
    group = {"account_sid": "AC1", "messaging_service_sid": None, "to_country": "GB", "error_code": "__other__"}
    said = list_facts(replace(FIRING, alert=FIRING.alert | {"group": group}))
    assert said[-4:] == [
        ("Error code", "all others"),
        ("Country", "United Kingdom (GB)"),
        ("Messaging service", "none"),
        ("Account", "AC1"),
    ]


def test_a_resolve_says_how_long_it_lasted_who_ended_it_and_what_they_noted() -> None:
    ended = {
        "started_at": "2026-11-24T03:00:00Z",
        "last_match_at": "2026-11-24T03:00:00Z",
        "resolved_at": "2026-11-25T04:00:09Z",
        "resolve_reason": "manual",
        "acknowledged_by": "bob",
        "note": "the carrier\nmended it",
        "left_out_accounts": ["AC1", "AC2"],
    }
    said = dict(list_facts(replace(RESOLVED, alert=RESOLVED.alert | ended)))
    assert said["Resolved"] == "25 Nov 2026, 04:00:09 UTC, resolved manually"
    assert said["Lasted"] == "1 day 1 hour"
    assert said["Resolved by"] == "bob"
    assert said["Note"] == "the carrier mended it"
    assert said["Cannot be read"] == "AC1, AC2"
    assert "Last seen" not in said, "it was seen once"


def test_malformed_prices_are_not_counted() -> None:
    silent = notifications.of(NotificationType.FIRING, rule_id="1", occurrences=0)
    built_in = notifications.of(NotificationType.FIRING, rule_id=None, occurrences=1)
    assert "Occurrences" not in dict(list_facts(silent)) | dict(list_facts(built_in))
    assert dict(list_facts(notifications.digest()))["Notifications"] == "3"


@pytest.mark.parametrize(
    ("timezone", "said"),
    [
        ("UTC", "24 Nov 2026, 23:27:46 UTC"),
        ("Europe/London", "24 Nov 2026, 23:27:46 UTC"),
        ("Europe/Berlin", "24 Nov 2026, 23:27:46 UTC (25 Nov, 00:27:46 in Berlin)"),
        ("America/New_York", "24 Nov 2026, 23:27:46 UTC (18:27:46 in New York)"),
        ("Asia/Kolkata", "24 Nov 2026, 23:27:46 UTC (25 Nov, 04:57:46 in Kolkata)"),
    ],
)
def test_local_time_stands_beside_utc_where_it_differs(timezone: str, said: str) -> None:
    assert format_time("2026-11-24T23:27:46Z", timezone) == said


def test_it_says_which_account_how_many_numbers_and_which_countries_are_hit() -> None:
    hit = Spread(30, False, 20, 1, ["GB", "IE", "FR", "DE", "QQ"], ["AC1", "AC2"])
    notification = replace(FIRING, alert=FIRING.alert | {"group": {}}, spread=hit, account_names={"AC1": "Acme"})
    said = dict(list_facts(notification))
    assert said["Numbers"] == "20 recipients, 1 sender"
    assert said["Countries"] == "United Kingdom (GB), Ireland (IE), France (FR) and 2 more"
    assert said["Accounts"] == "Acme (AC1), AC2"


def test_several_error_codes_are_counted() -> None:
    codes = [(30007, 1200), (30003, 3), (30005, 2), (30006, 1)]
    notification = replace(FIRING, spread=Spread(1206, False, 20, 1, codes=codes))
    said = dict(list_facts(replace(notification, alert=FIRING.alert | {"group": {}})))
    assert said["Error codes"] == "30007 (1,200), 30003 (3), 30005 (2) and 1 more"
    alone = list_facts(replace(notification, spread=Spread(1, False, 1, 1, codes=codes[:1])))
    grouped = list_facts(replace(notification, alert=FIRING.alert | {"group": {"error_code": 30007}}))
    assert "Error codes" not in {**dict(alone), **dict(grouped)}


def test_values_of_the_group_are_not_repeated() -> None:
    group = {"to": "+447700900123", "to_country": "GB", "account_sid": "AC1"}
    notification = replace(
        FIRING, alert=FIRING.alert | {"group": group}, spread=Spread(500, True, 1, 3, ["GB"], ["AC1"])
    )
    said = list_facts(replace(notification, account_names={"AC1": "Acme"}))
    assert said[-4:] == [
        ("To", "+447700900123"),
        ("Country", "United Kingdom (GB)"),
        ("Account", "Acme (AC1)"),
        ("Numbers", "3 senders (of the newest 500 logs)"),
    ]


def test_logs_without_numbers_are_hit_nowhere() -> None:
    said = dict(list_facts(replace(FIRING, spread=Spread(3, False, 0, 0, [], ["AC1"]))))
    assert "Numbers" not in said
    assert said["Account"] == "AC1"


def test_a_digest_of_a_bundle_counts_alerts_and_others_count_notifications() -> None:
    flood = notifications.digest()
    bundle = replace(flood, digest=(flood.digest or {}) | {"accounts": []})
    names = [[name for name, _ in list_facts(each)][1] for each in (flood, bundle)]
    assert names == ["Notifications", "Alerts"]


def test_an_escalation_says_why_it_is_sent() -> None:
    assert ("Escalated", "Not acknowledged after 15 minutes") in list_facts(replace(FIRING, escalated_after_minutes=15))
