"""Messages in bulk are messages like any other."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.twilio_simulator import Request, Simulator, SimulatorClock
from scripts.twilio_simulator.bulk import add_messages

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)


def pages(simulator: Simulator, query: str) -> list[Any]:
    """Read a list of messages to its end."""
    account = simulator.account
    password = b64encode(f"{account.sid}:{account.auth_token}".encode()).decode()
    found, link = [], f"/2010-04-01/Accounts/{account.sid}/Messages.json?{query}"
    while link:
        response = simulator.handle(Request("GET", link, {"authorization": f"Basic {password}"}))
        page = json.loads(response.body)
        found += page["messages"]
        link = page["next_page_uri"]
    return found


def test_they_have_the_fields_of_any_message_and_are_listed_newest_first() -> None:
    simulator = Simulator(clock=SimulatorClock(frozen_at=NOW))
    sids = add_messages(simulator, 2500)
    listed = pages(simulator, "PageSize=1000")
    assert [message["sid"] for message in listed] == sids[::-1]
    assert listed == [item.record for item in reversed(simulator.emitted())]
    other = simulator.add_message()
    assert listed[0].keys() == simulator.record(other).record.keys()
    assert listed[0]["date_sent"] == "Tue, 03 Mar 2026 09:14:02 +0000"


def test_they_can_be_changed_and_filtered() -> None:
    simulator = Simulator(clock=SimulatorClock(frozen_at=NOW))
    sids = add_messages(simulator, 3, spacing_seconds=86400, failing=0, change=lambda _: {"body": "100% off"})
    simulator.change(sids[0], status="undelivered", error_code=30007)
    assert [message["sid"] for message in pages(simulator, "DateSent%3E=2026-03-02")] == sids[:0:-1]
    oldest = pages(simulator, "")[-1]
    assert (oldest["status"], oldest["error_code"], oldest["body"]) == ("undelivered", 30007, "100% off")
    versions = simulator.record(sids[0]).versions
    assert [(version.at, version.status) for version in versions] == [
        (NOW - timedelta(days=2), "delivered"),
        (NOW, "undelivered"),
    ]
