"""The simulator as Twilio's own SDK sees it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from scripts.twilio_simulator import (
    Account,
    AccountStatus,
    DateFilters,
    KeyKind,
    Simulator,
    SimulatorClock,
    SimulatorServer,
)

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=SimulatorClock(frozen_at=NOW))


@pytest.fixture
def server(simulator: Simulator) -> Iterator[SimulatorServer]:
    with SimulatorServer(simulator) as server:
        yield server


@pytest.fixture
def client(simulator: Simulator, server: SimulatorServer) -> Iterator[Client]:
    client = connect(server, simulator.account.sid, simulator.account.auth_token)
    yield client
    client.http_client.session.close()


def connect(server: SimulatorServer, user: str, password: str, account: Account | None = None) -> Client:
    client = Client(user, password, account.sid if account else None)
    client.api.base_url = client.monitor.base_url = server.url
    return client


def refusal(ask: Callable[[], object]) -> tuple[int, int]:
    """Return the HTTP status and Twilio's code with which a list is refused."""
    with pytest.raises(TwilioException) as raised:
        ask()
    response = raised.value.args[1]
    document = json.loads(response.text)
    assert document["status"] == response.status_code
    return response.status_code, document["code"]


def test_a_call_arrives_with_all_its_fields(simulator: Simulator, client: Client) -> None:
    sid = simulator.add_call(status="failed", to="+447700900123", from_="+14155550123", at=NOW - MINUTE)
    (call,) = client.calls.list()
    assert (call.sid, call.status, call.to, call._from) == (sid, "failed", "+447700900123", "+14155550123")
    assert (call.from_formatted, call.duration, call.price, call.direction) == (
        "(415) 555-0123",
        "37",
        None,
        "outbound-api",
    )
    assert call.date_created == NOW - MINUTE
    assert client.calls(sid).fetch().sid == sid


def test_a_message_arrives_with_all_its_fields(simulator: Simulator, client: Client) -> None:
    sid = simulator.add_message(status="undelivered", error_code=30007, date_sent=None, price="-0.00750")
    (message,) = client.messages.list()
    assert (message.sid, message.status, message.error_code, message.date_sent) == (sid, "undelivered", 30007, None)
    assert client.messages(sid).fetch().price == "-0.00750"


def test_an_error_shows_its_request_only_when_read_alone(simulator: Simulator, client: Client) -> None:
    sid = simulator.add_error(error_code="30003", resource_sid="CA" + "1" * 32)
    (entry,) = client.monitor.v1.alerts.list()
    assert (entry.sid, entry.error_code, entry.log_level) == (sid, "30003", "error")
    assert entry.alert_text.startswith("Msg&sourceComponent=12000&ErrorCode=30003")
    assert entry.date_generated == NOW
    assert client.monitor.v1.alerts(sid).fetch().response_body == "<html><body>Bad Gateway</body></html>"


def test_pages_are_not_shifted_by_what_is_added_while_they_are_read(simulator: Simulator, client: Client) -> None:
    sids = [simulator.add_message(at=NOW - n * MINUTE) for n in range(7)]
    pages = client.messages.stream(page_size=3)
    read = [next(pages).sid]
    simulator.add_message(at=NOW)
    read += [message.sid for message in pages]
    assert read == sids


def test_the_error_log_is_paged_by_absolute_links(simulator: Simulator, client: Client) -> None:
    sids = [simulator.add_error(at=NOW - n * MINUTE) for n in range(7)]
    assert [entry.sid for entry in client.monitor.v1.alerts.list(page_size=3)] == sids


def test_the_page_before_is_found_again(simulator: Simulator, client: Client) -> None:
    sids = [simulator.add_call(at=NOW - n * MINUTE) for n in range(5)]
    second = client.calls.page(page_size=2).next_page()
    assert second is not None
    first = second.previous_page()
    assert first is not None
    assert [call.sid for call in first] == sids[:2]


def test_a_page_number_without_its_token_is_refused(client: Client) -> None:
    assert refusal(lambda: client.messages.page(page_number=1)) == (400, 20001)


def test_filters_by_time_honour_whole_days_unless_asked_otherwise(simulator: Simulator, client: Client) -> None:
    old, young = simulator.add_message(at=NOW - timedelta(days=1)), simulator.add_message(at=NOW - timedelta(hours=2))
    simulator.add_message(at=NOW, date_sent=None)
    since = NOW - timedelta(hours=1)
    assert [item.sid for item in client.messages.list(date_sent_after=since)] == [young]
    assert [item.sid for item in client.messages.list(date_sent_before=NOW)] == [old]
    simulator.habits.date_filters = DateFilters.DAY_INCLUSIVE
    assert [item.sid for item in client.messages.list(date_sent_before=NOW)] == [young, old]
    simulator.habits.date_filters = DateFilters.EXACT
    assert client.messages.list(date_sent_after=since) == []


def test_calls_are_filtered_by_number_status_and_times(simulator: Simulator, client: Client) -> None:
    live = simulator.add_call(status="in-progress", end_time=None, at=NOW - timedelta(days=2))
    ended = simulator.add_call(to="+447700900123", at=NOW - timedelta(days=2), end_time=NOW)
    assert [call.sid for call in client.calls.list(status="in-progress")] == [live]
    assert [call.sid for call in client.calls.list(to="+447700900123")] == [ended]
    assert [call.sid for call in client.calls.list(end_time_after=NOW)] == [ended]
    assert client.calls.list(start_time_after=NOW) == []


def test_the_error_log_is_filtered_to_the_second_and_by_level(simulator: Simulator, client: Client) -> None:
    sids = [simulator.add_error(at=NOW - n * MINUTE, log_level="warning" if n else "error") for n in range(4)]
    found = client.monitor.v1.alerts.list(start_date=NOW - 2 * MINUTE, end_date=NOW - MINUTE)
    assert [entry.sid for entry in found] == sids[1:3]
    assert [entry.sid for entry in client.monitor.v1.alerts.list(log_level="error")] == sids[:1]


def test_the_error_log_reaches_back_thirty_days(simulator: Simulator, client: Client) -> None:
    simulator.add_error(at=NOW - timedelta(days=31))
    assert client.monitor.v1.alerts.list() == []
    assert refusal(lambda: client.monitor.v1.alerts.list(start_date=NOW - timedelta(days=32))) == (400, 20001)


def test_a_query_of_the_error_log_ends_at_ten_thousand(simulator: Simulator, client: Client) -> None:
    for n in range(10_001):
        simulator.add_error(at=NOW - timedelta(seconds=n))
    assert len(client.monitor.v1.alerts.list(page_size=1000)) == 10_000


def test_messages_older_than_their_retention_are_refused(client: Client) -> None:
    assert refusal(lambda: client.messages.list(date_sent_after=NOW - timedelta(days=500))) == (400, 20004)


def test_the_accounts_come_with_their_subaccounts_and_tokens(simulator: Simulator, client: Client) -> None:
    child = simulator.add_account(parent_sid=simulator.account.sid, friendly_name="Child")
    simulator.add_account(friendly_name="Stranger")
    found = client.api.v2010.accounts.list()
    assert [(item.sid, item.auth_token) for item in found] == [
        (simulator.account.sid, simulator.account.auth_token),
        (child.sid, child.auth_token),
    ]
    assert found[1].owner_account_sid == simulator.account.sid
    assert client.api.v2010.accounts(child.sid).fetch().friendly_name == "Child"


def test_a_parent_reads_calls_of_a_subaccount_but_only_its_own_error_log(
    simulator: Simulator, server: SimulatorServer, client: Client
) -> None:
    child = simulator.add_account(parent_sid=simulator.account.sid)
    call, entry = simulator.add_call(account_sid=child.sid), simulator.add_error(account_sid=child.sid)
    assert [item.sid for item in client.api.v2010.accounts(child.sid).calls.list()] == [call]
    assert client.monitor.v1.alerts.list() == []
    own = connect(server, child.sid, child.auth_token)
    assert [item.sid for item in own.monitor.v1.alerts.list()] == [entry]
    own.http_client.session.close()


def test_a_standard_key_reads_its_account_but_no_list_of_accounts(
    simulator: Simulator, server: SimulatorServer
) -> None:
    key = simulator.add_key()
    client = connect(server, key.sid, key.secret, simulator.account)
    assert client.calls.list() == []
    assert refusal(client.api.v2010.accounts.list) == (401, 20003)
    client.http_client.session.close()


def test_a_restricted_key_reads_what_it_names(simulator: Simulator, server: SimulatorServer) -> None:
    key = simulator.add_key(kind=KeyKind.RESTRICTED, permissions=frozenset({"messages"}))
    client = connect(server, key.sid, key.secret, simulator.account)
    assert client.messages.list() == []
    assert refusal(client.calls.list) == (401, 20003)
    client.http_client.session.close()


@pytest.mark.parametrize(
    ("properties", "status", "code"),
    [
        ({"refuse_credentials": True}, 401, 20003),
        ({"auth_token": "another"}, 401, 20003),
        ({"status": AccountStatus.CLOSED}, 401, 20003),
        ({"status": AccountStatus.SUSPENDED}, 403, 20005),
    ],
)
def test_an_account_out_of_order_is_refused(
    simulator: Simulator, client: Client, properties: dict[str, Any], status: int, code: int
) -> None:
    simulator.set_account(**properties)
    assert refusal(client.messages.list) == (status, code)


def test_a_removed_message_is_gone(simulator: Simulator, client: Client) -> None:
    sid = simulator.add_message()
    simulator.remove(sid)
    assert client.messages.list() == []
    with pytest.raises(TwilioRestException) as raised:
        client.messages(sid).fetch()
    assert (raised.value.status, raised.value.code) == (404, 20404)


def test_a_late_record_is_found_by_its_sid_before_lists_show_it(simulator: Simulator, client: Client) -> None:
    sid = simulator.add_call(visible_after=3600)
    assert client.calls.list() == []
    assert client.calls(sid).fetch().sid == sid
    simulator.clock.advance(3600)
    assert [call.sid for call in client.calls.list()] == [sid]


def test_requests_are_counted_by_path(simulator: Simulator, client: Client) -> None:
    client.calls.list()
    client.messages.list()
    client.messages.list()
    account = f"/2010-04-01/Accounts/{simulator.account.sid}"
    assert simulator.request_counts() == {f"{account}/Calls.json": 1, f"{account}/Messages.json": 2}
