"""Secrets by reference to variables of the server."""

import pytest

from app.errors import InvalidInput
from app.services.transfer import references

ENVIRONMENT = {"GIFTPULSE_TOKEN": "canary", "SECRET_KEY": "never"}


def test_a_reference_stands_for_its_variable() -> None:
    config = {"url": "https://x.example/?t=${GIFTPULSE_TOKEN}", "headers": {"A": "Bearer ${GIFTPULSE_TOKEN}"}, "n": 1}
    assert references.resolve(config, ENVIRONMENT, "config") == {
        "url": "https://x.example/?t=canary",
        "headers": {"A": "Bearer canary"},
        "n": 1,
    }


def test_a_variable_that_is_not_set_is_named_with_its_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        references.resolve({"headers": {"A": "${GIFTPULSE_OTHER}"}}, ENVIRONMENT, "config")
    assert [error.field for error in caught.value.errors] == ["config.headers.A"]


@pytest.mark.parametrize("text", ["${SECRET_KEY}", "Bearer ${PATH}", "${giftpulse_token}", "${GIFTPULSE_}"])
def test_other_variables_are_refused_rather_than_sent_as_they_are_written(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        references.resolve({"headers": {"body": text}}, ENVIRONMENT, "config")
    assert [error.field for error in caught.value.errors] == ["config.headers.body"]


@pytest.mark.parametrize("config", [{"a": "$GIFTPULSE_TOKEN"}, {"a": "{{ x }}"}, {"body": "${x}"}, {"subject": "${x}"}])
def test_texts_without_variables_and_templates_stay(config: dict[str, str]) -> None:
    assert references.resolve(config, ENVIRONMENT, "config") == config


def test_an_export_shows_the_reference_while_it_still_holds() -> None:
    used = references.used({"url": "https://x.example/?t=${GIFTPULSE_TOKEN}"})
    clear, shown = {"url": "https://x.example/?t=canary"}, {"url": "https://x.example/?•••"}
    assert references.restore(shown, clear, used, ENVIRONMENT) == {"url": "https://x.example/?t=${GIFTPULSE_TOKEN}"}
    assert references.restore(shown, clear, used, {"GIFTPULSE_TOKEN": "other"}) == shown
    assert references.restore(shown, clear, used, {}) == shown


def test_masked_secrets_are_found() -> None:
    found = references.masked({"url": "https://x.example/?•••", "secret": "whsec_•••abcd", "method": "POST"}, "config")
    assert [error.field for error in found] == ["config.url", "config.secret"]
