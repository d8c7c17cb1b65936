"""How far each stage lags: measured, stored each minute, and shown on the health page."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.database import session_scope
from app.models import Delivery, Lag, Stream
from app.services import lags
from app.services.lags import Lags
from app.utils.clock import utc_now
from tests.fakes import START
from tests.feeding import Feed, log
from tests.integration.console.conftest import Browser, browser
from tests.integration.console.test_pages import make_delivery

__all__ = ["browser"]
MINUTE = timedelta(minutes=1)


def test_nothing_waits_where_there_is_nothing(database: str) -> None:
    with session_scope() as session:
        assert lags.measure(session, START) == Lags(0, 0, 0)


def test_each_stage_lags_by_what_waits_longest(feed: Feed) -> None:
    feed.store([log(1, START - MINUTE)], START - MINUTE)
    delivery_id = make_delivery("pending")
    with session_scope() as session:
        session.execute(update(Stream).values(complete_until=START - 3 * MINUTE))
        session.execute(update(Delivery).where(Delivery.id == delivery_id).values(next_attempt_at=START - 2 * MINUTE))
    with session_scope() as session:
        found = lags.measure(session, START)
    assert (found.reading, found.delivery) == (180, 120)
    assert found.evaluation >= 0


def test_each_minute_is_stored_once_and_for_a_week(feed: Feed) -> None:
    with session_scope() as session:
        for seconds in (1, 30, 61):
            lags.record(session, START + timedelta(seconds=seconds))
        assert [each.at for each in session.scalars(select(Lag).order_by(Lag.at))] == [START, START + MINUTE]
        lags.delete_expired(session, START + lags.KEPT + MINUTE)
        assert session.scalars(select(Lag.at)).all() == [START + MINUTE]


def test_a_bucket_has_the_highest_lag_and_a_time_without_measurement_none(database: str) -> None:
    with session_scope() as session:
        session.add_all([Lag(at=START + n * MINUTE, reading=60 * n, evaluation=0, delivery=9 - n) for n in (0, 9)])
        session.flush()
        found = lags.highest(session, START, START + 20 * MINUTE, 10 * MINUTE)
    assert found == [Lags(540, 0, 9), None]


@pytest.mark.parametrize(("span", "hits"), [("24h", 144), ("7d", 168)])
async def test_health_shows_the_lags_of_the_time_that_is_asked_for(browser: Browser, span: str, hits: int) -> None:
    now = utc_now().replace(second=0, microsecond=0)
    with session_scope() as session:
        session.add(Lag(at=now - 5 * MINUTE, reading=1230, evaluation=0, delivery=0))
    await browser.sign_in()
    page = (await browser.get(f"/health?span={span}")).text
    assert "At most 20.5 minutes behind" in page
    assert page.count('<figure class="plot low"') == 3
    assert page.count('class="hit"') >= 3 * hits
