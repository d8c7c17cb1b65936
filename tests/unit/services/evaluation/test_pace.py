"""How many changes are evaluated at once: as many as the time allows."""

import pytest

from app.services.evaluation.change_queue import BATCH_SECONDS, BATCH_SIZE, SMALLEST_BATCH, Pace


@pytest.mark.parametrize("per_second", [20, 2_000, 12_000, 1_000_000])
def test_a_batch_takes_about_as_long_as_it_may_on_every_machine(per_second: int) -> None:
    pace = Pace()
    for _ in range(20):
        pace.note(pace.limit, pace.limit / per_second)
    assert pace.limit == pytest.approx(max(SMALLEST_BATCH, min(BATCH_SIZE, per_second * BATCH_SECONDS)), rel=0.01)


def test_a_few_changes_that_are_soon_evaluated_say_nothing_of_many() -> None:
    pace = Pace()
    pace.note(1, 0.01)
    assert pace.limit == SMALLEST_BATCH


def test_one_that_took_too_long_makes_the_next_smaller_however_few_it_held() -> None:
    pace = Pace()
    pace.note(pace.limit, 0.01)
    assert pace.limit > SMALLEST_BATCH
    pace.note(10, 3 * BATCH_SECONDS)
    assert pace.limit == SMALLEST_BATCH
