"""Who a person is and what they may do, by the claims of any provider."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enums import Scope
from app.services.openid.identity import MAX_ADDRESS_LENGTH, MAX_NAME_LENGTH, find_claim, read_identity, scope_of

GRANTS = ((Scope.ADMIN, ("boss",)), (Scope.WRITE, ("on-call", "boss")), (Scope.READ, ("*",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CLAIMS = st.sampled_from(["name", "preferred_username", "email", "email_verified", "groups", "a", "a.b"])


@given(st.dictionaries(CLAIMS, JSON), st.text(min_size=1), st.sampled_from(["groups", "a", "a.b", "a.b.c", ".", ""]))
def test_whatever_a_provider_says_makes_a_person_that_can_be_shown(
    claims: dict[str, Any], subject: str, groups_claim: str
) -> None:
    found = read_identity(claims | {"sub": subject}, groups_claim)
    assert found.subject == subject
    assert 0 < len(found.name) <= MAX_NAME_LENGTH
    assert found.name.isprintable()
    assert found.address is None or (found.address.isprintable() and len(found.address) <= MAX_ADDRESS_LENGTH)
    assert all(isinstance(group, str) for group in found.groups)


@given(st.frozensets(st.text()))
def test_only_a_group_that_is_named_gives_a_scope(groups: frozenset[str]) -> None:
    named = ((Scope.ADMIN, ("boss",)), (Scope.READ, ("staff",)))
    expected = Scope.ADMIN if "boss" in groups else Scope.READ if "staff" in groups else None
    assert scope_of(groups, named) == expected


@pytest.mark.parametrize(
    ("groups", "scope"), [({"boss"}, "admin"), ({"on-call"}, "write"), (set(), "read"), ({"*"}, "read")]
)
def test_the_widest_scope_counts_and_a_star_is_everybody(groups: set[str], scope: str) -> None:
    assert scope_of(frozenset(groups), GRANTS) == scope


@pytest.mark.parametrize(
    ("claims", "name", "value"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a.b": 2, "a": {"b": 1}}, "a.b", 2),
        ({"a": {"b.c": 3}}, "a.b.c", 3),
        ({"a": [1]}, "a.b", None),
        ({"a": {"b": 1}}, "a.", None),
        ({}, "a", None),
    ],
)
def test_a_claim_is_found_by_its_name_or_by_its_path(claims: dict[str, Any], name: str, value: Any) -> None:
    assert find_claim(claims, name) == value
