"""The names of countries."""

import pytest
from phonenumbers import SUPPORTED_REGIONS

from app.utils.countries import country


@pytest.mark.parametrize(("code", "said"), [("GB", "United Kingdom (GB)"), ("QQ", "QQ"), ("", "")])
def test_a_country_is_named_with_its_code(code: str, said: str) -> None:
    assert country(code) == said


def test_every_country_that_a_number_may_have_has_a_name() -> None:
    assert [code for code in SUPPORTED_REGIONS if country(code) == code] == []
