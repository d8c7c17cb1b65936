"""Names of families and faults: which codes they stand for, and what a wrong name is told."""

import pytest

from app.enums import PatternType
from app.errors import InvalidInput
from app.services.rules.definition import parse_rule
from app.services.rules.patterns import code_ranges
from app.services.rules.rule_index import RuleIndex
from app.services.twilio import code_groups, error_codes
from app.services.twilio.advice import advice_for, family_of
from tests.factories import make_log, make_rule

BODY = {"name": "Codes", "log_type": "message", "pattern_type": "error_code"}


def holds(name: str, code: int) -> bool:
    return any(first <= code <= last for first, last in code_groups.ranges_of(name))


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("family:messaging-filtering", (30004, 30007), (30003, 21610)),
        ("family:unreachable-numbers", (30003, 30005, 30006), (30004,)),
        ("family:sip", (32000, 32999), (31999, 33000)),
        ("family:regulatory-bundles", (18000, 22000), (19000,)),
        ("fault:your-server", (11200, 12100, 11237), (30007, 10001)),
        ("fault:carrier", (30003, 30007), (11200,)),
        ("fault:unknown", (99_998, 500_000), (30007,)),
    ],
)
def test_a_name_stands_for_its_codes(name: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    assert all(holds(name, code) for code in inside)
    assert not any(holds(name, code) for code in outside)


def test_every_code_has_one_range_and_one_fault_as_its_description_says() -> None:
    subjects = {group.name: group for group in code_groups.all_groups()}
    for known in error_codes.all_codes():
        assert holds(f"fault:{known.fault}", known.code), known.code
        others = {"customer", "carrier", "twilio", "unknown"} - {known.fault}
        assert not any(holds(f"fault:{fault}", known.code) for fault in others), known.code
        if known.code < code_groups.END:
            assert holds(f"family:{code_groups._slug(family_of(known.code))}", known.code), known.code
    assert all(group.known_codes for group in subjects.values())


def test_advice_for_all_codes_at_once_is_that_for_each() -> None:
    advices = code_groups._advices()
    for code in range(0, code_groups.END, 37):
        assert advices[code] is advice_for(code)


def test_names_stand_beside_codes_in_a_pattern() -> None:
    rule = make_rule(pattern_type=PatternType.ERROR_CODE, pattern_value="21610, family:messaging-filtering,30500-30599")
    index = RuleIndex([rule])
    for code, matches in ((21610, True), (30007, True), (30550, True), (30003, False), (None, False)):
        assert bool(index.match_batch([make_log(error_code=code)])[0]) is matches, code


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("family:mesaging-filtering", "did you mean family:messaging-filtering?"),
        ("Fault:Your-Server", "did you mean fault:your-server?"),
        ("fault:yourserver", "did you mean fault:your-server?"),
        ("faults:carrier", "did you mean fault:carrier?"),
        ("30003,family:xyzzy-nothing", "item 2 of the list: names no family or fault of error codes"),
        ("family:", "names no family or fault"),
    ],
)
def test_a_wrong_name_is_refused_with_the_one_that_may_be_meant(given: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rule(BODY | {"pattern_value": given})
    (error,) = refused.value.errors
    assert error.field == "pattern_value"
    assert told in error.message


@pytest.mark.parametrize("given", ["family:", "family:*", "family:nope", "fault:family"])
def test_a_name_that_is_like_no_other_suggests_none(given: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rule(BODY | {"pattern_value": given})
    assert "did you mean" not in refused.value.errors[0].message


def test_a_name_means_what_the_catalogue_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not holds("fault:carrier", 99_990)
    catalogue = dict(error_codes._catalogue(error_codes.generation()))
    catalogue[99_990] = error_codes.Entry("New", "error", "carrier", None)
    monkeypatch.setattr(error_codes, "_catalogue", lambda _: catalogue)
    monkeypatch.setattr(error_codes._Loaded, "generation", error_codes.generation() + 1)
    assert holds("fault:carrier", 99_990)
    assert any(first <= 99_990 <= last for first, last in code_ranges("fault:carrier"))
