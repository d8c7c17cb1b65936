"""Twilio is told to push here, and told to stop; what others have set stays."""

import pytest

from app.database import session_scope
from app.errors import ConfigError
from app.services.ingest import account_admin, callback_setup
from tests.integration.ingest.world import World


def test_connecting_sets_what_the_api_lets_it_set_and_undoes_it(world: World) -> None:
    mine, configuration = world.simulator.account.sid, world.simulator.configuration
    free, taken, service = "PN" + "1" * 32, "PN" + "2" * 32, "MG" + "3" * 32
    configuration.add_number(mine, free, "+14155550123")
    configuration.add_number(mine, taken, "+14155550124")
    configuration.resources[taken]["status_callback"] = "https://elsewhere.example.com/x"
    configuration.add_service(mine, service, "codes")
    before = {sid: dict(thing) for sid, thing in configuration.resources.items()}
    world.poll()
    said = list(callback_setup.connect(None, world.settings))
    address = f"{world.settings.public_base_url}/webhooks/twilio/status#rc=5&rp=all"
    assert configuration.resources[free]["status_callback"] == address
    assert configuration.resources[service]["status_callback"] == address
    assert configuration.resources[taken]["status_callback"] == "https://elsewhere.example.com/x"
    assert len(configuration.of(mine, "DG")) == len(configuration.of(mine, "DF")) == 1
    assert "/webhooks/twilio/error" in said[-1]
    assert any("left alone" in line for line in said)
    assert not any("+1415" in line for line in said)
    list(callback_setup.connect(None, world.settings))
    assert len(configuration.of(mine, "DG")) == 1
    list(callback_setup.disconnect(None, world.settings))
    after = {
        sid: thing | {"status_callback": thing["status_callback"] or None}
        for sid, thing in configuration.resources.items()
    }
    assert after == {
        sid: thing | {"status_callback": thing["status_callback"] or None} for sid, thing in before.items()
    }


def test_the_case_of_scheme_and_host_does_not_make_another_address(world: World) -> None:
    mine, configuration = world.simulator.account.sid, world.simulator.configuration
    number = "PN" + "1" * 32
    configuration.add_number(mine, number, "+14155550123")
    world.poll()
    list(callback_setup.connect(None, world.settings))
    world.configured(public_base_url="HTTP://LocalHost:8000")
    said = list(callback_setup.connect(None, world.settings))
    assert not any("left alone" in line for line in said)
    assert len(configuration.of(mine, "DG")) == 1
    list(callback_setup.disconnect(None, world.settings))
    assert not configuration.resources[number]["status_callback"]
    assert not configuration.of(mine, "DG")


def test_twilio_is_not_given_an_address_that_it_cannot_reach(world: World) -> None:
    world.poll()
    with session_scope() as session:
        account = account_admin.get(session, world.simulator.account.sid, lock=True)
        account.api_base_url = "https://api.twilio.com"
    with pytest.raises(ConfigError, match="PUBLIC_BASE_URL"):
        list(callback_setup.connect(None, world.settings))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://monitor.example.com", True),
        ("https://8.8.8.8:8443", True),
        ("http://localhost", False),
        ("http://127.0.0.2:8000", False),
        ("http://[::1]", False),
        ("https://10.0.0.5", False),
        ("https://192.168.1.10", False),
        ("http://0.0.0.0:8000", False),
        ("https://monitor", False),
        ("https://monitor.local", False),
        ("https://monitor.internal.", False),
    ],
)
def test_an_address_that_nobody_outside_can_reach_is_known(address: str, public: bool) -> None:
    assert callback_setup._is_public(address) is public


def test_a_dry_run_shows_what_would_change_and_changes_nothing(world: World) -> None:
    mine, configuration = world.simulator.account.sid, world.simulator.configuration
    number = "PN" + "1" * 32
    configuration.add_number(mine, number, "+14155550123")
    world.poll()
    said = list(callback_setup.connect(None, world.settings, dry_run=True))
    assert any(f"number {number}: its status callback is empty and would lead to " in line for line in said)
    assert any("event sink: would be created" in line for line in said)
    assert not configuration.resources[number]["status_callback"]
    assert configuration.of(mine, "DG") == []
    list(callback_setup.connect(None, world.settings))
    said = list(callback_setup.disconnect(None, world.settings, dry_run=True))
    assert any(f"number {number}: its status callback would be empty again" in line for line in said)
    assert configuration.resources[number]["status_callback"]
    assert len(configuration.of(mine, "DG")) == 1
