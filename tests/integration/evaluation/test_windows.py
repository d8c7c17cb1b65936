"""What windows hold, read from minutes and hours, is what their minutes come to."""

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from itertools import product

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.database import session_scope
from app.services.evaluation import minute_counts, window_queries
from app.services.evaluation.window_queries import WindowRange
from app.services.rules.conditions.sum import LOOKBACK
from tests.factories import make_rule
from tests.fakes import START
from tests.profiles import examples

amounts = st.lists(
    st.tuples(st.integers(-7_000, 0), st.sampled_from(["a", "b"]), st.sampled_from(["", "EUR"])), max_size=60
)
some = settings(
    max_examples=examples(15),
    phases=[Phase.explicit, Phase.generate],
)


@some
@given(
    made=amounts, length=st.sampled_from([10, 360, 361, 1_500]), window_count=st.integers(1, 4), late=st.integers(0, 59)
)
def test_windows_hold_what_their_minutes_come_to(
    database: str, made: list[tuple[int, str, str]], length: int, window_count: int, late: int
) -> None:
    condition = {"type": "sum", "field": "price", "at_least": 1, "window_minutes": length}
    rule = make_rule(condition=condition, group_by=("to",))
    end = START + timedelta(minutes=late)
    deltas: minute_counts.Deltas = defaultdict(minute_counts.CountDelta)
    for minute, key, unit in made:
        deltas[rule.id, key, end + timedelta(minutes=minute), unit].matched += 1
        deltas[rule.id, key, end + timedelta(minutes=minute), unit].amount += Decimal(1)
    asked = WindowRange(rule, end, timedelta(minutes=length), window_count)
    with session_scope() as session:
        minute_counts.save(session, {rule.id: rule}, deltas)
        found_counts = window_queries.count_windows(session, [asked])
        within = window_queries.read_amounts(session, [asked], LOOKBACK)
    wanted = Counter((key, -minute // length) for minute, key, _ in made if -minute // length < window_count)
    assert {(key, index): each.matched for (_, key), of in found_counts.items() for index, each in of.items()} == wanted
    for latest in (end, end - timedelta(hours=5), end - LOOKBACK + timedelta(minutes=1)):
        for key, unit in product(("a", "b"), ("", "EUR")):
            since = latest - timedelta(minutes=length)
            found = within.get((rule.id, key), {}).get(unit, [])
            summed = sum(amount for at, amount in found if since < at <= latest)
            times = [end + timedelta(minutes=minute) for minute, *rest in made if rest == [key, unit]]
            assert summed == sum(since < at <= latest for at in times)
