"""Ten thousand errors within a minute: every one is stored, and those who are told are not flooded."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Delivery, Log, Match
from app.services import rule_admin
from app.services.outbox.digest import MAX_NOTIFICATIONS
from app.utils.clock import utc_now
from tests.integration.faults.conftest import CrashRig
from tests.kits import stages

ERRORS = 10_000
MAX_GROUPS = 500
"""More groups than this of one rule fall together."""
RECEIVERS = 2


@pytest.mark.timeout(600)
def test_a_storm_is_stored_whole_and_sent_as_a_digest(rig: CrashRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MAX_SECONDS", 240)
    rule = {"name": "Storm", "log_type": "error", "pattern_type": "error_code", "pattern_value": "60000-60999"}
    with session_scope() as session:
        made = rule_admin.create(session, rule | {"group_by": ["error_code"]}, get_settings(), utc_now())
        made.started_at, storm = utc_now() - timedelta(minutes=30), made.id
    ended = utc_now()
    for number in range(ERRORS):
        at = ended - timedelta(milliseconds=number)
        rig.simulator.add_error(error_code=str(60_000 + number % 1000), at=at.replace(microsecond=0))
    for stage in ("poll", "evaluate", "deliver"):
        assert rig.stages.run(stage) == 0
    assert set(rig.stored()) == rig.emitted()
    with session_scope() as session:
        assert session.scalar(select(func.count()).where(Match.rule_id == storm)) == ERRORS
        alerts = session.scalars(select(Alert).where(Alert.rule_id == storm)).all()
        assert len(alerts) == MAX_GROUPS + 1
        assert sum(alert.occurrences for alert in alerts) == ERRORS
        by_status = dict(session.execute(select(Delivery.status, func.count()).group_by(Delivery.status)).all())
        assert by_status["folded"] + by_status["succeeded"] == RECEIVERS * (len(alerts) + 3)
        assert by_status["succeeded"] <= RECEIVERS * MAX_NOTIFICATIONS
        session.execute(text("UPDATE deliveries SET created_at = created_at - interval '2 minutes'"))
    assert rig.stages.run("deliver") == 0
    with session_scope() as session:
        untold = select(func.count()).where(Delivery.status == "folded", Delivery.digest_id.is_(None))
        assert session.scalar(untold) == 0
        assert session.scalar(select(func.count()).where(Delivery.type == "alert.digest")) == RECEIVERS
        assert session.scalar(select(func.count()).where(Log.log_type == "error")) == ERRORS + 3
    assert set(rig.received().values()) == {1}
    assert {each.status for each in rig.deliveries()} == {"folded", "succeeded"}
