"""`each`: every match that counts towards no alert yet opens one."""

from uuid import uuid4

from app.services.rules.conditions.each import Each
from app.services.rules.episodes import Point
from tests.fakes import START


def test_it_opens_at_every_match_that_is_not_counted_yet() -> None:
    points = [Point(START, "SM1", 1, None), Point(START, "SM2", 2, None, alert_id=uuid4())]
    assert Each().opens(points) == [True, False]


def test_no_match_opens_nothing() -> None:
    assert Each().opens([]) == []
