"""Text that no encoding holds, such as half of a surrogate pair: it costs no more than its own field."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from app import wake
from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.utils.clock import utc_now
from scripts.twilio_simulator.wire import Kind
from tests.feeding import evaluate
from tests.integration.ingest.world import World

ODD = "half \ud800 of a pair, \udfff\n\u2028\U0001f600é"
FIELDS = {
    Kind.MESSAGE: ["body", "from", "to", "error_message", "direction", "messaging_service_sid", "price_unit", "price"],
    Kind.CALL: ["from", "to", "caller_name", "answered_by", "price_unit", "duration", "parent_call_sid"],
    Kind.ERROR: ["alert_text", "more_info", "request_url", "resource_sid", "log_level", "error_code"],
}
FAILED: dict[Kind, dict[str, Any]] = {
    Kind.MESSAGE: {"status": "failed", "error_code": 30003},
    Kind.CALL: {"status": "failed"},
    Kind.ERROR: {},
}


@pytest.fixture(autouse=True)
def quiet(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(wake, "deliver", lambda: None)


@pytest.mark.parametrize("kind", FIELDS)
def test_a_log_with_half_of_a_surrogate_pair_is_stored_and_alerts(world: World, kind: Kind) -> None:
    rule = {"name": "Anything", "log_type": kind.log_type, "pattern_type": "any", "group_by": []}
    if kind is not Kind.ERROR:
        rule |= {"pattern_type": "status", "pattern_value": "failed"}
    with session_scope() as session:
        rule_admin.create(session, rule, get_settings(), utc_now())
    world.clock.now = utc_now().replace(microsecond=0)
    world.advance(seconds=60)
    world.poll()
    world.advance(seconds=60)
    sids = {field: world.simulator.add(kind, **FAILED[kind] | {field: ODD}) for field in FIELDS[kind]}
    world.advance(seconds=60)
    world.poll()
    assert set(world.logs()) == set(sids.values())
    assert world.quarantine() == []
    for field, sid in sids.items():
        log = world.log(sid)
        assert log.status == FAILED[kind].get("status"), field
        if "error_code" in FAILED[kind]:
            assert log.error_code == 30003, field
    evaluate(world.advance(seconds=1))
    with session_scope() as session:
        (alert,) = session.scalars(select(Alert))
        assert alert.occurrences == len(sids)
        json.dumps(alert.sample_sids).encode()


def test_the_rest_of_a_text_is_kept(world: World) -> None:
    sid = world.simulator.add_message(body=ODD)
    world.poll()
    assert world.log(sid).text_ == "half \ufffd of a pair, \ufffd\n\u2028\U0001f600é"
