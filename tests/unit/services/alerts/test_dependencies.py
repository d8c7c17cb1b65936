"""Which alert suppresses another."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.alerts.dependencies import OpenCause, causes_first, depends_on_itself, find_suppressor
from tests.factories import make_rule
from tests.fakes import START

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def cause(alert_id: UUID, minute: int, *account_ids: int) -> OpenCause:
    return OpenCause(alert_id, START + timedelta(minutes=minute), frozenset(account_ids))


@pytest.mark.parametrize(
    ("account_ids", "causes", "suppressor"),
    [
        pytest.param({1}, [], None, id="nothing is open"),
        pytest.param({1}, [cause(A, 0, 1)], A, id="the same account"),
        pytest.param({1}, [cause(A, 0, 2)], None, id="another account"),
        pytest.param({1}, [cause(A, 0, 1, 2)], A, id="a cause that reaches further"),
        pytest.param({1, 2}, [cause(A, 0, 1)], None, id="one account has another cause"),
        pytest.param({1, 2}, [cause(B, 1, 2), cause(A, 0, 1)], A, id="several causes, the oldest is named"),
        pytest.param({1}, [cause(B, 0, 1), cause(A, 0, 1), cause(C, -5, 2)], A, id="only fitting ones are named"),
        pytest.param(set(), [cause(A, 0)], None, id="no account at all"),
    ],
)
def test_an_alert_is_suppressed_where_causes_cover_all_its_accounts(
    account_ids: set[int], causes: list[OpenCause], suppressor: UUID | None
) -> None:
    assert find_suppressor(frozenset(account_ids), causes) == suppressor
    assert find_suppressor(frozenset(account_ids), reversed(causes)) == suppressor


@given(st.permutations(range(6)), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_causes_come_first_and_cycles_are_found(order: list[int], pairs: list[tuple[int, int]]) -> None:
    ids = [UUID(int=number + 1) for number in range(6)]
    depends_on: dict[UUID, list[UUID]] = {each: [] for each in ids}
    for later, earlier in pairs:
        wanted = {*depends_on[ids[later]], ids[earlier]}
        reaches_back = _reaches(ids[earlier], ids[later], depends_on)
        assert depends_on_itself(ids[later], wanted, depends_on) == reaches_back
        if not reaches_back:
            depends_on[ids[later]] = sorted(wanted)
    rules = [make_rule(id=ids[number], depends_on=tuple(depends_on[ids[number]])) for number in order]
    sorted_ids = [rule.id for rule in causes_first(rules)]
    assert sorted(sorted_ids) == ids
    for each in ids:
        assert all(sorted_ids.index(earlier) < sorted_ids.index(each) for earlier in depends_on[each])


def _reaches(start: UUID, goal: UUID, depends_on: dict[UUID, list[UUID]]) -> bool:
    return start == goal or any(_reaches(each, goal, depends_on) for each in depends_on[start])


def test_rules_without_dependencies_keep_their_order() -> None:
    rules = [make_rule(id=each) for each in (C, A, B)]
    assert [rule.id for rule in causes_first(rules)] == [C, A, B]
