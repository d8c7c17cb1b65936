"""What is seen in one log: links, first words, and its fields."""

from typing import Any

import pytest

from app.services.findings.traits import TracedLog, Trait, first_words, link_domains, traits_of
from tests.factories import MORNING


def traced(**fields: Any) -> TracedLog:
    plain: dict[str, Any] = {
        "log_type": "message",
        "to_country": "GB",
        "from_": "+14155550100",
        "messaging_service_sid": None,
        "error_code": None,
        "segments": 1,
        "status": "delivered",
        "occurred_at": MORNING,
        "text": None,
    }
    return TracedLog(**plain | fields)


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("Your parcel waits: bit.ly/3xK", ["bit.ly"]),
        ("See https://WWW.Example.co.uk:8443/a?b=c#d.", ["example.co.uk"]),
        ("Go to www.example.com, now", ["example.com"]),
        ("(https://user:pw@example.com)", ["example.com"]),
        ("pay:https://a.example/x and http://b.example", ["a.example", "b.example"]),
        ("https://пример.рф/путь", ["пример.рф"]),
        ("Bye.See you at 10.30/11.00", []),
        ("mail ops@example.com or 24/7, and/or 1.2/3", []),
        ("https:// http://- https://localhost/x https://[::1]/", []),
        ("", []),
    ],
)
def test_the_domains_of_links_are_found_and_nothing_else(text: str, domains: list[str]) -> None:
    assert list(link_domains(text)) == domains


def test_a_text_made_to_take_long_does_not() -> None:
    assert list(link_domains("a." * 40_000 + "/")) == []
    assert list(link_domains("https://" + "a-" * 40_000)) == []


def test_first_words_are_alike_whatever_code_they_carry() -> None:
    assert first_words("123456 is your code") == first_words("987 is your code") == "# is your"
    assert first_words("“Your parcel” waits: go") == "your parcel waits"
    assert first_words("Hi") == "hi"
    assert first_words("...") == ""


def test_a_field_without_a_value_is_no_trait() -> None:
    found = traits_of(traced(segments=None, text="Hello bit.ly/1"))
    assert found == {
        Trait("to_country", "GB"),
        Trait("from", "+14155550100"),
        Trait("status", "delivered"),
        Trait("hour", 6),
        Trait("link_domain", "bit.ly"),
        Trait("first_words", "hello bit.ly/#"),
    }


def test_the_text_of_an_error_has_links_but_no_words_of_a_person() -> None:
    found = traits_of(traced(log_type="error", text="Url: https://app.example.com/hook"))
    assert {trait.field for trait in found} & {"link_domain", "first_words"} == {"link_domain"}
