"""Accounts by the API: tokens go in and never come out."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.enums import LogType
from app.models import Account, AuditEntry, PushedRecord, Stream
from app.services.ingest import accounts, credentials
from app.utils.clock import cut_to_second, rfc3339, utc_now
from scripts.twilio_simulator.simulator import Simulator
from tests.conftest import forget
from tests.feeding import ACCOUNT, Feed
from tests.integration.api.conftest import Api, fields, make_app

SID = "AC" + "1" * 32
TOKEN = "canary0123456789abcdef0123456789"
BODY: dict[str, Any] = {"sid": SID, "auth_token": TOKEN, "friendly_name": "Production"}


async def test_an_account_is_watched_from_the_moment_it_is_added(api: Api) -> None:
    answer = await api.post("/api/accounts", json=BODY)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert [warning["field"] for warning in shown.pop("warnings")] == ["auth_token"], "Twilio is not there"
    assert (shown["sid"], shown["friendly_name"], shown["enabled"], shown["parent_sid"]) == (
        SID,
        "Production",
        True,
        None,
    )
    assert [stream["log_type"] for stream in shown["streams"]] == ["call", "message", "error"]
    assert shown["max_requests_per_minute"] == 120
    assert (await api.get("/api/accounts")).json()["items"] == [shown]
    assert (await api.get(f"/api/accounts/{SID}")).json() == shown
    assert (await api.post("/api/accounts", json=BODY)).status_code == 409


async def test_a_token_is_encrypted_and_shown_nowhere(api: Api) -> None:
    answers = [await api.post("/api/accounts", json=BODY), await api.get(f"/api/accounts/{SID}")]
    answers.append(await api.patch(f"/api/accounts/{SID}", json={"auth_token": TOKEN + "2"}))
    answers.append(await api.get("/api/audit"))
    assert all("canary" not in answer.text for answer in answers)
    with session_scope() as session:
        account = session.scalars(select(Account)).one()
        assert "canary" not in (account.auth_token or "")
        assert credentials.load(session, account.id, get_settings()).password == TOKEN + "2"
        assert len(session.scalars(select(AuditEntry).where(AuditEntry.target == f"account:{SID}")).all()) == 2


async def test_a_key_is_its_sid_and_its_secret_together(api: Api) -> None:
    answer = await api.post("/api/accounts", json={"sid": SID, "api_key_sid": "SK" + "2" * 32})
    assert fields(answer) == ["api_key_secret"]
    assert fields(await api.post("/api/accounts", json={"sid": SID})) == ["auth_token"]
    body = {"sid": SID, "api_key_sid": "SK" + "2" * 32, "api_key_secret": "canary"}
    assert (await api.post("/api/accounts", json=body)).json()["api_key_sid"] == "SK" + "2" * 32
    with session_scope() as session:
        account = session.scalars(select(Account)).one()
        assert credentials.load(session, account.id, get_settings()).username == "SK" + "2" * 32


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sid": "AC1"}, "sid"),
        ({"auth_token": ""}, "auth_token"),
        ({"auth_token": 7}, "auth_token"),
        ({"api_base_url": "file:///etc/passwd"}, "api_base_url"),
        ({"api_base_url": "https://user@api.twilio.com"}, "api_base_url"),
        ({"monitor_base_url": "https://monitor.twilio.com:port"}, "monitor_base_url"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_an_invalid_value_is_rejected_at_its_field(api: Api, changes: dict[str, Any], field: str) -> None:
    assert fields(await api.post("/api/accounts", json=BODY | changes)) == [field]


async def test_new_credentials_are_tried_at_once(api: Api) -> None:
    await api.post("/api/accounts", json=BODY)
    with session_scope() as session:
        for stream in session.scalars(select(Stream)):
            stream.failures, stream.due_at = 7, stream.due_at.replace(year=2099)
    await api.patch(f"/api/accounts/{SID}", json={"auth_token": "another"})
    with session_scope() as session:
        assert all(stream.failures == 0 and stream.due_at.year < 2099 for stream in session.scalars(select(Stream)))


async def test_the_account_of_the_environment_stays_there(api: Api, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TWILIO_ACCOUNT_SID", SID)
    environment.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    forget()
    from app.utils.clock import utc_now

    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
    async with Api(make_app()) as client:
        assert (await client.delete(f"/api/accounts/{SID}")).status_code == 409
        assert (await client.patch(f"/api/accounts/{SID}", json={"auth_token": "x"})).status_code == 409
        assert (await client.patch(f"/api/accounts/{SID}", json={"enabled": False})).json()["enabled"] is False
        assert (await client.post(f"/api/accounts/{SID}/poll")).status_code == 409


async def test_an_account_is_removed(api: Api) -> None:
    await api.post("/api/accounts", json=BODY)
    assert (await api.delete(f"/api/accounts/{SID}")).status_code == 204
    assert (await api.get(f"/api/accounts/{SID}")).status_code == 404
    assert (await api.delete(f"/api/accounts/{SID}")).status_code == 404


async def test_a_poll_and_a_backfill_are_queued(api: Api) -> None:
    await api.post("/api/accounts", json=BODY)
    answer = await api.post(f"/api/accounts/{SID}/poll")
    assert (answer.status_code, answer.json()) == (202, {"status": "queued"})
    span = {"since": "2000-01-01T00:00:00Z"}
    assert fields(await api.post(f"/api/accounts/{SID}/backfill", json=span)) == ["since"]
    from datetime import timedelta

    from app.utils.clock import rfc3339, utc_now

    span = {"since": rfc3339(utc_now() - timedelta(days=3))}
    answer = await api.post(f"/api/accounts/{SID}/backfill", json=span)
    assert (answer.status_code, answer.json()) == (202, {"status": "queued"})
    streams = (await api.get(f"/api/accounts/{SID}")).json()["streams"]
    assert [len(stream["backfills"]) for stream in streams] == [1, 1, 1]
    answer = await api.post(f"/api/accounts/{SID}/backfill", json={"since": f"{get_settings().retention_days}d"})
    assert answer.status_code == 202, answer.text


async def test_every_log_type_has_a_stream(api: Api) -> None:
    await api.post("/api/accounts", json=BODY)
    with session_scope() as session:
        assert set(session.scalars(select(Stream.log_type))) == set(LogType)


async def test_coverage_says_what_is_known_of_each_stream(api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=2))
    feed.complete(now - timedelta(hours=1), now - timedelta(days=1))
    url = f"/api/accounts/{ACCOUNT}/coverage"
    items = (await api.get(url, params={"since": "2d", "until": rfc3339(now)})).json()["items"]
    of_calls = [item for item in items if item["log_type"] == "call"]
    assert {item["log_type"] for item in items} == {"call", "message", "error"}
    assert [item["state"] for item in of_calls] == ["not_yet", "read", "not_yet"]
    assert of_calls[1]["since"] == rfc3339(now - timedelta(days=1))
    assert of_calls[1]["until"] == rfc3339(now - timedelta(hours=1))
    by_default = [item for item in (await api.get(url)).json()["items"] if item["log_type"] == "call"]
    first, last = (datetime.fromisoformat(at) for at in (by_default[0]["since"], by_default[-1]["until"]))
    assert last - first == timedelta(days=30)


async def test_coverage_of_no_span_of_too_long_a_one_or_of_no_account_is_refused(api: Api) -> None:
    Feed(utc_now())
    url = f"/api/accounts/{ACCOUNT}/coverage"
    assert (await api.get(url, params={"since": "400d"})).status_code == 200
    assert fields(await api.get(f"{url}?since=1h&until=2h")) == ["until"]
    assert fields(await api.get(f"{url}?since=500d")) == ["since"]
    assert fields(await api.get(f"{url}?since=soon")) == ["since"]
    assert fields(await api.get(f"{url}?limit=3")) == ["limit"]
    assert (await api.get("/api/accounts/AC" + "9" * 32 + "/coverage")).status_code == 404


async def test_credentials_that_cannot_be_tried_are_a_warning(api: Api) -> None:
    made = await api.post("/api/accounts", json=BODY)
    (warning,) = made.json()["warnings"]
    assert warning["field"] == "auth_token"
    assert "no answer from Twilio" in warning["message"]
    shown = await api.get(f"/api/accounts/{SID}")
    assert "warnings" not in shown.json()
    assert made.headers["etag"] == shown.headers["etag"]
    disabled = await api.post("/api/accounts", json=BODY | {"sid": "AC" + "2" * 32, "enabled": False})
    assert "warnings" not in disabled.json()


REFUSED = "is refused by Twilio (HTTP 401): check that it is whole, and this account's"


async def watch(api: Api, simulator: Simulator) -> str:
    """Watch the simulator's account; returns its address."""
    account = simulator.account
    made = await api.post("/api/accounts", json={"sid": account.sid, "auth_token": account.auth_token})
    assert "warnings" not in made.json()
    return f"/api/accounts/{account.sid}"


async def test_new_credentials_are_tried_before_the_response_and_stored_even_if_twilio_refuses_them(
    simulator: Simulator, api: Api
) -> None:
    url = await watch(api, simulator)
    edited = await api.patch(url, json={"auth_token": TOKEN})
    assert edited.status_code == 200
    assert edited.json()["warnings"] == [{"field": "auth_token", "message": REFUSED}]
    shown = await api.get(url)
    assert "warnings" not in shown.json()
    assert edited.headers["etag"] == shown.headers["etag"]
    with session_scope() as session:
        (account,) = session.scalars(select(Account)).all()
        assert credentials.load(session, account.id, get_settings()).password == TOKEN
    mended = await api.patch(url, json={"auth_token": simulator.account.auth_token})
    assert "warnings" not in mended.json()
    audited = await api.get("/api/audit")
    assert "warnings" not in audited.text
    assert all("canary" not in answer.text for answer in (edited, shown, mended, audited))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"next_auth_token": TOKEN}, "next_auth_token"),
        ({"api_key_sid": "SK" + "2" * 32, "api_key_secret": TOKEN}, "api_key_secret"),
        ({"api_base_url": "http://127.0.0.1:9"}, "auth_token"),
    ],
)
async def test_what_an_edit_changes_is_tried(
    simulator: Simulator, api: Api, changes: dict[str, str], field: str
) -> None:
    edited = await api.patch(await watch(api, simulator), json=changes)
    assert [warning["field"] for warning in edited.json()["warnings"]] == [field]


async def test_the_token_is_tried_that_is_left_when_a_key_is_taken_out(simulator: Simulator, api: Api) -> None:
    url = await watch(api, simulator)
    key = simulator.add_key()
    body = {"api_key_sid": key.sid, "api_key_secret": key.secret}
    assert "warnings" not in (await api.patch(url, json=body)).json()
    simulator.set_account(auth_token="t" * 32)
    taken_out = await api.patch(url, json={"api_key_sid": None, "api_key_secret": None})
    assert taken_out.json()["warnings"] == [{"field": "auth_token", "message": REFUSED}]


async def test_an_account_is_tried_when_it_is_enabled_and_not_while_it_is_disabled(
    simulator: Simulator, api: Api
) -> None:
    url = await watch(api, simulator)
    asked = len(simulator.requests)
    assert "warnings" not in (await api.patch(url, json={"enabled": False, "auth_token": TOKEN})).json()
    assert "warnings" not in (await api.patch(url, json={"friendly_name": "Off"})).json()
    assert len(simulator.requests) == asked
    enabled = await api.patch(url, json={"enabled": True})
    assert enabled.json()["warnings"] == [{"field": "auth_token", "message": REFUSED}]


async def test_the_environments_credentials_are_tried_at_a_new_address(
    simulator: Simulator, environment: pytest.MonkeyPatch, database: str
) -> None:
    environment.setenv("TWILIO_ACCOUNT_SID", simulator.account.sid)
    environment.setenv("TWILIO_AUTH_TOKEN", simulator.account.auth_token)
    forget()
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
    async with Api(make_app()) as api:
        url = f"/api/accounts/{simulator.account.sid}"
        here = get_settings().twilio_api_base_url
        assert "warnings" not in (await api.patch(url, json={"api_base_url": here})).json()
        (warning,) = (await api.patch(url, json={"api_base_url": "http://127.0.0.1:9"})).json()["warnings"]
        assert "no answer from Twilio" in warning["message"]


async def test_an_edit_of_an_account_that_is_not_watched_tries_nothing(simulator: Simulator, api: Api) -> None:
    assert (await api.patch(f"/api/accounts/{SID}", json={"auth_token": TOKEN})).status_code == 404
    assert not simulator.requests


async def test_an_account_says_when_twilio_last_pushed_and_whether_a_next_token_is_stored(api: Api) -> None:
    made = (await api.post("/api/accounts", json=BODY)).json()
    assert (made["last_callback_at"], made["has_next_auth_token"]) == (None, False)
    before = (await api.get(f"/api/accounts/{SID}")).headers["etag"]
    now = cut_to_second(utc_now())
    with session_scope() as session:
        (account_id,) = session.scalars(select(Account.id))
        for number in (1, 2):
            at = now - timedelta(minutes=number)
            session.add(
                PushedRecord(
                    account_id=account_id, log_type="call", sid=f"CA{number}", digest=number, fields={}, received_at=at
                )
            )
    shown = await api.get(f"/api/accounts/{SID}")
    assert shown.json()["last_callback_at"] == rfc3339(now - timedelta(minutes=1))
    assert shown.headers["etag"] == before, "no edit"
    edited = await api.patch(f"/api/accounts/{SID}", json={"next_auth_token": TOKEN})
    assert edited.json()["has_next_auth_token"] is True
    assert TOKEN not in edited.text
