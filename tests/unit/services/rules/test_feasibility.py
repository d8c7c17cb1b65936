"""What a rule asks for that can never be: refused, or accepted with a warning."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.rules import definition, feasibility
from app.services.rules.packs import list_packs
from app.services.rules.schedule import contains, contains_whole, longest_stretch
from app.services.twilio.vocabulary import COUNTRIES
from app.utils.zones import WEEKDAYS
from tests.conftest import ROOT

BODY: dict[str, Any] = {"name": "Failed", "log_type": "message", "pattern_type": "any"}
OFFICE = {"timezone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri"], "start": "09:00", "end": "18:00"}
RETENTION = timedelta(days=90)
SETTLE = timedelta(hours=72)
WEEK_QUARTERS = 7 * 24 * 4


def errors(**fields: Any) -> dict[str, str]:
    found = feasibility.errors(definition.parse_rule(BODY | fields), RETENTION)
    return {error.field: error.message for error in found}


def warnings(**fields: Any) -> dict[str, str]:
    found = feasibility.warnings(definition.parse_rule(BODY | fields), SETTLE)
    return {warning.field: warning.message for warning in found}


@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [
        (OFFICE, 9 * 60),
        (OFFICE | {"days": ["mon"]}, 9 * 60),
        (OFFICE | {"start": "22:00", "end": "06:00"}, 8 * 60),
        (OFFICE | {"start": "00:00", "end": "00:00"}, 5 * 24 * 60),
        (OFFICE | {"start": "09:00", "end": "09:00", "days": ["sat", "sun", "mon"]}, 3 * 24 * 60),
        (OFFICE | {"start": "18:00", "end": "18:00", "days": list(WEEKDAYS)}, None),
        (OFFICE | {"start": "09:00", "end": "08:00", "days": list(WEEKDAYS)}, 23 * 60),
    ],
)
def test_the_longest_stretch_of_a_schedule(schedule: dict[str, Any], minutes: int | None) -> None:
    assert longest_stretch(schedule) == (None if minutes is None else timedelta(minutes=minutes))


times = st.integers(0, 23 * 4).map(lambda quarter: f"{quarter // 4:02}:{15 * (quarter % 4):02}")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=7, unique=True), times, times)
def test_the_longest_stretch_is_the_longest_run_of_quarters_inside(days: list[str], start: str, end: str) -> None:
    schedule = {"timezone": "UTC", "days": days, "start": start, "end": end}
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    inside = [contains(schedule, monday + timedelta(minutes=15 * quarter)) for quarter in range(2 * WEEK_QUARTERS)]
    runs = [len(list(run)) for holds, run in groupby(inside) if holds]
    longest = longest_stretch(schedule)
    assert (max(runs) if max(runs) < 2 * WEEK_QUARTERS else None) == (longest and longest / timedelta(minutes=15))


def test_a_window_fits_where_it_is_as_long_as_the_longest_stretch() -> None:
    at = datetime(2026, 11, 23, 17, tzinfo=UTC)  # a Monday, six in the evening in Berlin
    assert contains_whole(OFFICE, at - timedelta(minutes=540), at)
    assert not contains_whole(OFFICE, at - timedelta(minutes=541), at)


def test_a_no_data_rule_whose_window_never_fits_its_schedule_is_refused() -> None:
    too_long = {"type": "no_data", "window_minutes": 541}
    assert "condition.window_minutes" in errors(condition=too_long, schedule=OFFICE)
    assert "540 minutes" in errors(condition=too_long, schedule=OFFICE)["condition.window_minutes"]
    assert errors(condition=too_long | {"window_minutes": 540}, schedule=OFFICE) == {}
    assert errors(condition=too_long) == {}
    assert errors(condition={"type": "ratio", "percent": 5, "window_minutes": 600}, schedule=OFFICE) == {}


def test_a_spike_whose_baseline_is_longer_than_logs_are_kept_is_refused() -> None:
    day = {"type": "spike", "window_minutes": 1440, "baseline_windows": 90}
    assert errors(condition=day) == {}
    assert "RETENTION_DAYS" in errors(condition=day | {"baseline_windows": 91})["condition.baseline_windows"]


@pytest.mark.parametrize(
    ("country", "hint"),
    [
        *(
            ("UK", "GB"),
            ("uk", "GB"),
            ("USA", "US"),
            ("Germany", "DE"),
            ("Österreich", "AT"),
            ("XX", None),
            ("Q", None),
        ),
        *(("GBR", "GB"), ("deu", "DE"), ("XKX", "XK"), ("united kingdom", "GB"), ("Germnay", "DE"), ("England", "GB")),
        *(("Deutschland", "DE"), ("Spain", "ES"), ("Turkey", "TR"), ("日本", "JP"), ("Niger republic", None)),
    ],
)
def test_what_is_no_country_is_refused_with_a_suggestion(country: str, hint: str | None) -> None:
    message = errors(filters={"to_country": ["GB", country]})["filters.to_country"]
    assert message.startswith("item 2 is not a country")
    assert message.endswith(f"did you mean {hint}?") if hint else "did you mean" not in message


@given(st.sampled_from(sorted(COUNTRIES)), st.booleans())
def test_every_country_is_accepted_in_any_case(country: str, small: bool) -> None:
    body = BODY | {"filters": {"to_country": [country.lower() if small else country]}}
    parsed = definition.parse_rule(body)
    assert definition.columns(parsed)["filters"] == {"to_country": [country]}
    assert feasibility.errors(parsed, RETENTION) == []


PRICED = {"pattern_type": "expression", "pattern_value": 'log.price_unit == "USD"'}
EXPRESSIONS = [
    ('"faild" == log.status', "log.status, at line 1, character 1: is not a status"),
    ('"faild" != log.status && log.final', "did you mean failed?"),
    ('log.final && ("faild" == log.status)', "did you mean failed?"),
    ('log.status == "FAILED"', "did you mean failed?"),
    ('log.status in ["failed", "undeliverd"]', "did you mean undelivered?"),
    ('log["status"] == "faild"', "did you mean failed?"),
    ("'faild' == log[ 'status' ]", "did you mean failed?"),
    ('log.to_country == "gb"', "did you mean GB?"),
    ('log.to_country == "GBR"', "did you mean GB?"),
    ('log.log_type == "call"', "only messages are looked at"),
    ('log.log_type in ["message", "calls"]', "did you mean call?"),
    ('log.price_unit == "usd"', "did you mean USD?"),
    ('log.price_unit == "dollars"', "not a currency"),
    ('log.direction == "Outbound-API"', "did you mean outbound-api?"),
    ("99999 == log.error_code", "error codes"),
    ('log.to == "44*"', "whole"),
]


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"pattern_type": "status", "pattern_value": "faild"}, "pattern_value", "did you mean failed?"),
        ({"pattern_type": "status", "pattern_value": "failed,undeliverd"}, "pattern_value", "item 2: "),
        ({"log_type": "call", "pattern_type": "status", "pattern_value": "undelivered"}, "pattern_value", "no-answer"),
        ({"pattern_type": "status", "pattern_value": "no-answer"}, "pattern_value", "messages are not known to have"),
        ({"log_type": "error", "pattern_type": "status", "pattern_value": "failed"}, "pattern_value", "have no status"),
        ({"pattern_type": "error_code", "pattern_value": "99999"}, "pattern_value", "error codes"),
        ({"pattern_type": "error_code", "pattern_value": "30003,1-9"}, "pattern_value", "item 2: "),
        ({"filters": {"direction": ["outbound"]}}, "filters.direction", "did you mean outbound-"),
        ({"filters": {"direction": ["outbound-dial"]}}, "filters.direction", "not known to have this direction"),
        ({"filters": {"level": ["error"]}}, "filters.level", "messages have no level"),
        ({"log_type": "error", "filters": {"to": ["+14155550100"]}}, "filters.to", "have no to"),
        (
            {"log_type": "call", "filters": {"messaging_service_sid": ["MG" + "0" * 32]}},
            "filters.messaging_service_sid",
            "calls",
        ),
        ({"filters": {"to": ["+44"]}}, "filters.to", "whole"),
        ({"filters": {"to": ["447700900123"]}}, "filters.to", "plus"),
        ({"filters": {"from": ["whatsapp:+1 415 555 0100"]}}, "filters.from", "punctuated"),
        ({"filters": {"account_sid": ["AC1"]}}, "filters.account_sid", "AC and 32"),
        (
            {"pattern_type": "expression", "pattern_value": 'log.status == "faild"'},
            "pattern_value",
            "log.status, at line 1",
        ),
        (
            {"pattern_type": "expression", "pattern_value": 'log.to_country in ["GB", "UK"]'},
            "pattern_value",
            "mean GB?",
        ),
        ({"pattern_type": "expression", "pattern_value": "log.error_code == 99999"}, "pattern_value", "error codes"),
        *(
            ({"pattern_type": "expression", "pattern_value": source}, "pattern_value", part)
            for source, part in EXPRESSIONS
        ),
        ({"log_type": "error", "filters": {"level": ["error"]}, **PRICED}, "pattern_value", "have no price_unit"),
        ({"filters": {"to": ["44*"]}}, "filters.to", "whole"),
        ({"filters": {"from": ["+44*"]}}, "filters.from", "whole"),
        ({"filters": {"from": ["whatsapp:+44%"]}}, "filters.from", "whole"),
        ({"filters": {"to": ["44"]}}, "filters.to", "whole"),
        (
            {"condition": {"type": "sum", "field": "duration_seconds", "at_least": 9, "window_minutes": 5}},
            "condition.field",
            "",
        ),
        (
            {"log_type": "call", "condition": {"type": "new_value", "field": "messaging_service_sid"}},
            "condition.field",
            "",
        ),
        (
            {"condition": {"type": "stuck", "older_than_minutes": 72 * 60}},
            "condition.older_than_minutes",
            "SETTLE_HOURS",
        ),
        ({"log_type": "error", "condition": {"type": "stuck", "older_than_minutes": 5}}, "condition.type", "final"),
        (
            {
                "pattern_type": "status",
                "pattern_value": "failed",
                "condition": {"type": "stuck", "older_than_minutes": 5},
            },
            "pattern_value",
            "final",
        ),
        (
            {
                "pattern_type": "status",
                "pattern_value": "sent",
                "condition": {"type": "ratio", "percent": 5, "window_minutes": 60},
            },
            "pattern_value",
            "final",
        ),
    ],
)
def test_unknown_values_get_a_warning(fields: dict[str, Any], field: str, part: str) -> None:
    found = warnings(**fields)
    assert list(found) == [field]
    assert part in found[field]


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern_type": "status", "pattern_value": "failed,undelivered"},
        {"log_type": "any", "pattern_type": "status", "pattern_value": "busy,undelivered"},
        {"log_type": "call", "pattern_type": "error_code", "pattern_value": "30001,30002,30003"},
        {"pattern_type": "error_code", "pattern_value": "*"},
        {"pattern_type": "error_code", "pattern_value": "30000-30999"},
        {"filters": {"from": ["GiftPulse", "72345", "client:alice", "sip:alice@example.com", "whatsapp:+14155550100"]}},
        {"pattern_type": "expression", "pattern_value": 'log.error_code == 30003 && log.to.startsWith("+44")'},
        {"condition": {"type": "stuck", "older_than_minutes": 30}},
        *(
            {"pattern_type": "expression", "pattern_value": source}
            for source in (
                '"failed" == log.status && log.log_type == "message" && log.price_unit == "USD"',
                'log.status.startsWith("fail") && "FAILED" == log.status + ""',
                'log.text == "faild" && log.status != null',
                'log.text.contains("log.status == 1")',
                '"un" + "delivered" == log.status || log.status == "un" + "delivered"',
                "log.to in ['GiftPulse', '72345', '+14155550100']",
            )
        ),
        {"log_type": "any", "pattern_type": "expression", "pattern_value": 'log.log_type == "call"'},
    ],
)
def test_possible_values_get_no_warning(fields: dict[str, Any]) -> None:
    assert warnings(**fields) == {}
    assert errors(**fields) == {}


def test_no_rule_of_a_pack_gets_a_warning() -> None:
    for rule in (rule for pack in list_packs() for rule in pack.rules):
        assert feasibility.warnings(rule.definition, SETTLE) == [], rule.slug
        assert feasibility.errors(rule.definition, RETENTION) == [], rule.slug


def test_a_guess_of_a_country_loads_no_large_tables() -> None:
    code = (
        "import sys; from app.services.twilio.vocabulary import country_error as why; assert 'DE' in why('GERMANY')\n"
        "assert not [name for name in sys.modules if name.startswith('phonenumbers.geodata')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
