"""The demo's traffic: the same from the same seed, whole lives, and the incidents that it promises."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.twilio_simulator import Emitted, Kind, Simulator, SimulatorClock, demo
from scripts.twilio_simulator.scenarios import SCENARIOS
from scripts.twilio_simulator.traffic import Rates, Traffic

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)
NO_RATES = Rates(0, 0, 0)
FINAL = {"delivered", "undelivered", "failed", "canceled", "received", "sent", "completed", "busy", "no-answer", None}


def simulator() -> Simulator:
    return Simulator(clock=SimulatorClock(frozen_at=NOW))


def test_within_twenty_seconds_calls_fail_with_the_codes_of_the_first_rule() -> None:
    twilio = simulator()
    demo.start(twilio, history_hours=1)
    twilio.clock.advance(20)
    emitted = {item.sid: item for item in twilio.emitted()}
    entries = [item for item in emitted.values() if item.kind is Kind.ERROR and item.visible_at >= NOW]
    calls = [
        emitted[item.record["resource_sid"]] for item in entries if item.record["error_code"] in ("30001", "30002")
    ]
    assert len(calls) >= 2
    assert {call.record["status"] for call in calls} == {"failed"}
    assert {item.record["log_level"] for item in entries} == {"error"}


def test_a_restart_with_its_state_tells_the_same_history(tmp_path: Path) -> None:
    def tell(at: datetime) -> list[Emitted]:
        twilio = Simulator(clock=SimulatorClock(frozen_at=at))
        demo.start(twilio, tmp_path / "state.json", history_hours=1)
        return twilio.emitted()

    later = {item.sid: item for item in tell(NOW) + tell(NOW + timedelta(minutes=20))}
    for item in tell(NOW):
        assert later[item.sid].versions[: len(item.versions)] == item.versions


def test_records_created_after_a_restart_do_not_belong_to_the_previous_run(tmp_path: Path) -> None:
    def make(at: datetime) -> str:
        twilio = Simulator(clock=SimulatorClock(frozen_at=at))
        demo.start(twilio, tmp_path / "state.json", history_hours=1)
        return twilio.add_message()

    assert make(NOW) != make(NOW + timedelta(minutes=20))


def test_every_simulated_log_is_final_within_a_day() -> None:
    twilio = simulator()
    traffic = Traffic(twilio, NOW, Rates(60, 60, 6), incidents=())
    traffic.start(timedelta(minutes=10))
    known = [item.sid for item in twilio.emitted()]
    traffic.set_rates(messages_per_minute=0, calls_per_minute=0, errors_per_minute=0)
    twilio.clock.advance(timedelta(days=1))
    assert {twilio.record(sid).versions[-1].status for sid in known} <= FINAL


def test_no_simulated_status_goes_back_in_time() -> None:
    twilio = simulator()
    demo.start(twilio, history_hours=1)
    for item in twilio.emitted():
        moments = [version.at for version in item.versions]
        assert moments == sorted(moments)
        assert moments[-1] <= NOW


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_begun_manually(name: str) -> None:
    twilio = simulator()
    traffic = Traffic(twilio, NOW, NO_RATES, incidents=())
    traffic.start(timedelta(hours=1))
    planned = traffic.begin(name)
    twilio.clock.advance(timedelta(minutes=10))
    assert len(twilio.emitted()) == planned
    traffic.begin(name)
    twilio.clock.advance(timedelta(minutes=10))
    assert len(twilio.emitted()) == 2 * planned


def test_stopped_traffic_fires_no_data() -> None:
    twilio = simulator()
    traffic = Traffic(twilio, NOW, Rates(60, 0, 0), incidents=())
    traffic.start(timedelta(minutes=5))
    traffic.begin("traffic_stop")
    twilio.clock.advance(timedelta(minutes=20))
    minutes = Counter(int((item.created_at - NOW).total_seconds() // 60) for item in twilio.emitted())
    assert not any(minutes[minute] for minute in range(1, 9))
    assert minutes[-3]
    assert minutes[15]


def test_old_entries_are_deleted() -> None:
    twilio = simulator()
    Traffic(twilio, NOW, Rates(1, 1, 0), incidents=(), kept=timedelta(hours=2)).start(timedelta(hours=1))
    twilio.clock.advance(timedelta(hours=4))
    oldest = min(item.created_at for item in twilio.emitted())
    assert oldest > twilio.clock.now() - timedelta(hours=3, minutes=1)


def test_some_records_may_be_shown_late() -> None:
    twilio = simulator()
    Traffic(twilio, NOW, Rates(30, 30, 0, late_share=0.3), incidents=()).start(timedelta(minutes=20))
    late = [item.visible_at - item.created_at >= timedelta(minutes=1) for item in twilio.emitted()]
    assert 0.2 < sum(late) / len(late) < 0.4
