"""The identities of alerts."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.services.alerts.fingerprint import built_in_fingerprint, fingerprint
from app.services.rules.groups import group_key
from tests.factories import make_rule

VALUES = st.dictionaries(
    st.text(st.characters(codec="utf-8")),
    st.none() | st.integers(-(2**31), 2**31) | st.text(st.characters(codec="utf-8")),
)


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    assert fingerprint(UUID(int=7), '{"to":"x"}') == "b8359a78740c4064f9a228f03845ed76"


@given(VALUES, VALUES)
def test_two_groups_or_two_rules_never_share_a_fingerprint(one: dict[str, object], two: dict[str, object]) -> None:
    first, second = make_rule().id, make_rule().id
    assert (fingerprint(first, group_key(one)) == fingerprint(first, group_key(two))) == (one == two)
    assert fingerprint(first, group_key(one)) != fingerprint(second, group_key(one))


def test_a_built_in_alert_has_an_identity_by_its_name_and_group() -> None:
    marks = {built_in_fingerprint(name, key) for name in ("one", "two") for key in ("{}", '{"account_sid":"AC1"}')}
    assert len(marks) == 4
