"""Counters of what was kept from people, and of what reached them although nobody acknowledged it."""

from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.services.alerts import manual
from app.services.alerts.withholding import withheld
from app.services.outbox import bundle
from tests.fakes import minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import fail_at, make_action, make_rule, only_alert, silence

LASTING = {"resolve_after_minutes": 60, "renotify_minutes": 1}


def counted(name: str) -> dict[str, float]:
    """A counter of one label, by its value."""
    query = text("SELECT labels, sum(value) FROM counters WHERE name = :name GROUP BY labels")
    with session_scope() as session:
        rows = session.execute(query, {"name": f"giftpulse_{name}_total"})
        return {labels.split('"')[3]: value for labels, value in rows}


def started() -> Feed:
    feed = Feed(minutes(-10_000))
    feed.complete(minutes(0))
    return feed


def test_each_start_of_withholding_an_alert_counts_once(database: str) -> None:
    feed = started()
    make_rule(**LASTING)
    silence(0, 3)
    fail_at(feed, 1, 2)
    evaluate(minutes(3))
    with session_scope() as session:
        for at in (4, 5):
            manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(at))
    assert counted("alerts_withheld") == {"silence": 1, "acknowledgement": 1}


def test_an_alert_that_another_explains_counts_as_withheld(database: str) -> None:
    feed = started()
    cause = make_rule(name="Cause", pattern_value="failed", **LASTING)
    make_rule(name="Dependent", depends_on=[str(cause)], **LASTING)
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    evaluate(minutes(3))
    assert counted("alerts_withheld") == {"dependency": 1}


def test_bundled_and_escalated_firings_are_counted(database: str) -> None:
    feed = started()
    make_action(bundle_seconds=60)
    make_action(after_minutes=2)
    make_rule(**LASTING)
    make_rule(name="Again", **LASTING)
    fail_at(feed, 1)
    with session_scope() as session:
        bundle.release_due(session, get_settings(), withheld, minutes(2))
    assert (counted("deliveries_bundled"), counted("escalations")) == ({"webhook": 2}, {})
    evaluate(minutes(3))
    assert counted("escalations") == {"webhook": 2}
