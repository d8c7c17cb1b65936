"""CEL expressions: what they see of a log, and what is refused when a rule is saved."""

from decimal import Decimal

import pytest

from app.services.rules.expressions import (
    FIELDS,
    ExpressionError,
    activation,
    as_map,
    check_expression,
    compile_expression,
)
from tests.factories import make_log


def holds(source: str, **fields: object) -> bool:
    check_expression(source)
    return compile_expression(source).matches(activation(make_log(**fields)))


@pytest.mark.parametrize(
    "source",
    [
        'log.error_code == 30003 && log.to.startsWith("+44")',
        'log["from"] == log.from',
        'log.from == "+14155550100"',
        "has(log.price)",
        'has(log.from) && log.from.startsWith("+1")',
        "log.level == null",
        "double(log.price) < -0.005",
        "log.error_code in [30003, 30005]",
        "log.error_code >= 30000 && log.error_code < 31000",
        'log.text.matches("(?i)PARCEL")',
        'log.text.contains("parcel") // the parcels',
        "size(log.text) > 10",
        "log.final",
        "log.final ? log.segments == 1 : false",
        'timestamp(log.occurred_at) == timestamp("2026-11-23T06:00:00Z")',
        'timestamp(log.occurred_at).getHours("Europe/Berlin") == 7',
        'log.occurred_at == "2026-11-23T06:00:00Z"',
        'log.changed_at.startsWith("2026-11")',
        'log.text != "log.nothing"',
        '["GB", "IE"].exists(country, country == log.to_country)',
        " || ".join(f"log.error_code == {code}" for code in range(30003, 29703, -1)),
    ],
)
def test_these_expressions_match_a_message_to_great_britain(source: str) -> None:
    assert holds(source, error_code=30003)


def test_an_expression_sees_all_fields_that_are_documented() -> None:
    assert list(as_map(make_log())) == list(FIELDS)


def test_a_price_is_written_as_the_api_writes_it() -> None:
    assert as_map(make_log(price=Decimal("1E-7")))["price"] == "0.0000001"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("log.error_code", "must return true or false"),
        ('"text"', "must return true or false"),
        ("log", "must return true or false"),
        ("1 +", "line 1, character 4"),
        ("log.eror_code == 1", "no such field, at line 1, character 5"),
        ("log.final &&\n log.nothing == 1", "no such field, at line 2, character 6"),
        ("has(log.nothing)", "no such field"),
        ("price > 1", "not known"),
        ("log.final.foo()", "not known"),
        ("log.price < 0.0", "double(log.price)"),
        ('log.error_code == "30003"', "int or null, string"),
        ("(" * 40 + "true" + ")" * 40, "nested too deeply"),
        ("[1].exists(x, [1].exists(y, x == y))", "macros must not be nested"),
        ("[[1]].exists(x, (x.map(y, y)) == x)", "macros must not be nested"),
        ("[" + ",".join(["1"] * 1100) + "].exists(x, x == 2)", "must not be longer than 2,000"),
        ("true" + " " * 10_000, "longer than 10,000"),
        ("log.text.matches(log.text)", "takes too long"),
        ("true\x00", "no CEL expression"),
        ("", "no CEL expression"),
    ],
)
def test_an_invalid_expression_is_refused_with_its_position(source: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words.replace("(", r"\(").replace(")", r"\)")):
        check_expression(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('log.level.contains("x")', "null"),
        ("int(log.text) == 1", "could not be converted"),
        ("1 / log.duration_seconds == 1", "divided by zero"),
        ('log["nothing"] == 1', "key that is not there"),
        ("[1][log.segments] == 1", "item that is not there"),
        ("9223372036854775807 + log.segments > 0", "too large"),
        ("dyn(log.text)", "returned no boolean"),
        ('log.text.matches("[" + log.text)', "pattern given to matches"),
    ],
)
def test_an_expression_that_fails_on_a_log_says_why_without_its_data(source: str, words: str) -> None:
    check_expression(source)
    with pytest.raises(ExpressionError, match=words) as raised:
        compile_expression(source).matches(activation(make_log(text="secret", duration_seconds=0)))
    assert "secret" not in str(raised.value)
