"""How far each stage lags: measured, stored each minute, and shown on the health page."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.database import session_scope
from app.models import Delivery, Lag, Stream
from app.services import lags
from app.services.lags import Lags
from app.utils.clock import rfc3339, utc_now
from tests.fakes import START
from tests.feeding import Feed, log
from tests.integration.api.conftest import Api, api, fields
from tests.integration.console.conftest import Browser, browser
from tests.integration.console.test_pages import make_delivery

__all__ = ["api", "browser"]
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
    since = START.replace(minute=0)
    with session_scope() as session:
        session.add_all([Lag(at=since + n * MINUTE, reading=60 * n, evaluation=0, delivery=9 - n) for n in (0, 9)])
        session.flush()
        found = lags.highest(session, since, since + 20 * MINUTE, 10 * MINUTE)
    assert found == {since: Lags(540, 0, 9)}


async def test_the_api_shows_the_lags_of_now_their_limits_and_the_highest_of_each_bucket(api: Api) -> None:
    Feed(utc_now())
    now = utc_now()
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    with session_scope() as session:
        session.execute(update(Stream).values(complete_until=now - 3 * MINUTE))
        minutes = {0: 60, 59: 90.5, 60: 30}
        session.add_all([Lag(at=hour + n * MINUTE, reading=s, evaluation=1, delivery=0) for n, s in minutes.items()])
    shown = (await api.get("/api/lags")).json()
    assert 180 <= shown["now"].pop("reading_seconds") < 240
    assert shown["now"] == {"evaluation_seconds": 0, "delivery_seconds": 0}
    assert shown["limits"] == {"reading_seconds": 960, "evaluation_seconds": 600, "delivery_seconds": 600}
    assert (shown["bucket"], shown["items"]) == (
        "hour",
        [
            {"at": rfc3339(hour), "reading_seconds": 90.5, "evaluation_seconds": 1, "delivery_seconds": 0},
            {"at": rfc3339(hour + 60 * MINUTE), "reading_seconds": 30, "evaluation_seconds": 1, "delivery_seconds": 0},
        ],
    )
    span = {"since": rfc3339(hour + MINUTE), "until": rfc3339(hour + 60 * MINUTE), "bucket": "minute"}
    (item,) = (await api.get("/api/lags", params=span)).json()["items"]
    assert item["at"] == rfc3339(hour + 59 * MINUTE), "since is inclusive, until exclusive"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("bucket=week", "bucket"),
        ("since=8d", "since"),
        ("since=1h&until=2h", "until"),
        ("since=x", "since"),
        ("a=1", "a"),
    ],
)
async def test_lags_of_no_span_of_too_long_a_one_or_in_no_known_bucket_are_refused(
    api: Api, query: str, field: str
) -> None:
    assert fields(await api.get(f"/api/lags?{query}")) == [field]


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
