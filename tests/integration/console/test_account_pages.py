"""The account pages: how far Twilio was read, and the forms that change an account."""

import re
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import select, update

from app.api.routes.health import health_cache
from app.config import get_settings
from app.database import session_scope
from app.enums import Scope
from app.models import Account, Backfill, CoverageGap, Stream
from app.services.self_monitoring import CANNOT_READ
from app.services.twilio.read_advice import CREDENTIALS, ENVIRONMENT
from app.utils.clock import utc_now
from app.utils.crypto import decrypt
from scripts.twilio_simulator.faults import FaultKind
from scripts.twilio_simulator.simulator import Simulator
from tests.integration.api.conftest import Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.statements import MAX_STATEMENTS, count_statements
from tests.integration.console.test_alert_pages import make_alert

SID = "AC" + "1" * 32
TOKEN = "canary" + "t" * 26
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


async def add(browser: Browser, sid: str = SID, **fields: str) -> None:
    given = {"sid": sid, "auth_token": TOKEN, "friendly_name": "Production", "enabled": "yes"}
    assert leads_to(await browser.submit("/accounts", **given | fields)) == f"/accounts/{sid}"


async def version(browser: Browser, sid: str = SID) -> str:
    found = re.search(r'name="version" value="([^"]+)"', (await browser.get(f"/accounts/{sid}")).text)
    assert found is not None
    return found[1].replace("&#34;", '"')


def stored(sid: str = SID) -> Account:
    with session_scope() as session:
        account = session.scalars(select(Account).where(Account.sid == sid)).one()
        session.expunge_all()
    return account


def token(sid: str = SID) -> str | None:
    kept = stored(sid).auth_token
    return None if kept is None else decrypt(get_settings().secret_keys, kept)


async def test_no_account_says_how_to_watch_one(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    assert 'href="/accounts/new"' in (await browser.get("/accounts")).text
    await browser.sign_in(await api.key(Scope.READ))
    page = (await browser.get("/accounts")).text
    assert "TWILIO_ACCOUNT_SID" in page
    assert 'href="/accounts/new"' not in page


async def test_an_account_is_added_and_its_secrets_are_never_written_back(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await add(browser, include_subaccounts="yes")
    assert token() == TOKEN
    shown = (await api.get(f"/api/accounts/{SID}")).json()
    assert (shown["friendly_name"], shown["enabled"], shown["include_subaccounts"]) == ("Production", True, True)
    for path in ("/accounts", f"/accounts/{SID}", "/audit"):
        page = (await browser.get(path)).text
        assert "Production" in page
        assert TOKEN not in page


async def test_an_invalid_form_keeps_all_but_the_secrets(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.submit("/accounts", sid="AC1", friendly_name="Kept", auth_token=TOKEN, enabled="yes")
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert 'id="sid-wrong"' in answer.text
    assert 'value="Kept"' in answer.text
    assert TOKEN not in answer.text
    assert "must be an account&#39;s sid: AC, and 32 digits or letters from a to f" in answer.text
    without = await browser.submit("/accounts", sid=SID, enabled="yes")
    assert 'id="auth_token-wrong"' in without.text


async def test_a_sid_may_be_pasted_with_spaces_and_in_capitals(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/accounts", sid=f" {SID.upper()} ", auth_token=TOKEN, enabled="yes")
    assert (await api.get(f"/api/accounts/{SID}")).status_code == 200


async def test_an_account_that_is_watched_already_is_said_at_its_field(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    answer = await browser.submit("/accounts", sid=SID, auth_token=TOKEN, enabled="yes")
    assert answer.status_code == 409
    assert "is watched already" in answer.text


async def test_new_credentials_are_tried_before_the_account_is_watched(simulator: Simulator, browser: Browser) -> None:
    account = simulator.account
    await browser.sign_in()
    refused = await browser.submit("/accounts", sid=account.sid, auth_token=TOKEN, enabled="yes")
    assert refused.status_code == 422
    assert re.search(r'id="auth_token-wrong".*is refused by Twilio \(HTTP 401\)', refused.text)
    assert "Watch it although Twilio refuses" in refused.text
    assert TOKEN not in refused.text
    await browser.submit("/accounts", sid=account.sid, auth_token=account.auth_token, enabled="yes")
    assert "Twilio accepts its credentials" in (await browser.get(f"/accounts/{account.sid}")).text


async def test_what_twilio_refuses_can_be_watched_all_the_same(simulator: Simulator, browser: Browser) -> None:
    await browser.sign_in()
    await add(browser, anyway="yes")
    assert "it cannot be read yet: Auth token is refused" in (await browser.get(f"/accounts/{SID}")).text


async def test_new_credentials_are_tried_before_an_edit_is_saved(simulator: Simulator, browser: Browser) -> None:
    account = simulator.account
    await browser.sign_in()
    await add(browser, account.sid, auth_token=account.auth_token)
    page = f"/accounts/{account.sid}"
    typed = {"friendly_name": "Renamed", "enabled": "yes", "auth_token": TOKEN}
    refused = await browser.submit(page, version=await version(browser, account.sid), **typed)
    assert refused.status_code == 422
    assert re.search(r'id="auth_token-wrong".*is refused by Twilio \(HTTP 401\)', refused.text)
    assert 'value="Renamed"' in refused.text
    assert "Save it although Twilio refuses" in refused.text
    assert TOKEN not in refused.text
    assert (stored(account.sid).friendly_name, token(account.sid)) == ("Production", account.auth_token)
    await browser.submit(page, version=await version(browser, account.sid), anyway="yes", **typed)
    assert "It is saved, but it cannot be read yet: Auth token is refused" in (await browser.get(page)).text
    assert (stored(account.sid).friendly_name, token(account.sid)) == ("Renamed", TOKEN)
    typed["auth_token"] = account.auth_token
    await browser.submit(page, version=await version(browser, account.sid), **typed)
    assert "Saved. Twilio accepts its credentials." in (await browser.get(page)).text
    assert TOKEN not in (await browser.get("/audit")).text


async def test_an_address_where_the_account_is_not_known_is_said_at_its_field(
    simulator: Simulator, browser: Browser
) -> None:
    account = simulator.account
    await browser.sign_in()
    await add(browser, account.sid, auth_token=account.auth_token)
    simulator.faults.add(FaultKind.UNAVAILABLE, status=404)
    fields = {"friendly_name": "Production", "enabled": "yes", "api_base_url": get_settings().twilio_api_base_url + "/"}
    refused = await browser.submit(f"/accounts/{account.sid}", version=await version(browser, account.sid), **fields)
    assert refused.status_code == 422
    assert re.search(r'id="api_base_url-wrong".*knows no such account \(HTTP 404\)', refused.text)
    assert stored(account.sid).api_base_url is None


async def test_an_edit_of_nothing_that_is_read_with_asks_twilio_nothing(simulator: Simulator, browser: Browser) -> None:
    account = simulator.account
    await browser.sign_in()
    await add(browser, account.sid, auth_token=account.auth_token)
    asked = len(simulator.requests)
    fields = {"friendly_name": "Renamed", "enabled": "yes"}
    await browser.submit(f"/accounts/{account.sid}", version=await version(browser, account.sid), **fields)
    assert "Saved.<" in (await browser.get(f"/accounts/{account.sid}")).text
    assert len(simulator.requests) == asked


async def test_an_account_of_the_environment_is_corrected_there(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    error = "Twilio refused /Messages.json (HTTP 401, code 20003): check the account"
    with session_scope() as session:
        session.execute(update(Account).values(from_environment=True))
        session.execute(update(Stream).values(failures=5, last_error=error))
    browser.app.state.health = health_cache(get_settings())
    for path in ("/", "/health", "/accounts", f"/accounts/{SID}"):
        page = (await browser.get(path)).text
        assert ENVIRONMENT in page, path
        assert CREDENTIALS.replace("'", "&#39;") not in page, path
    said = error.replace(" /Messages.json", "")
    assert (await browser.get("/health")).text.count(said) == 1
    assert "Production (call, error, message)" in (await browser.get("/health")).text


async def test_an_empty_secret_keeps_the_stored_one_and_a_typed_one_replaces_it(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    await browser.submit(f"/accounts/{SID}", version=await version(browser), friendly_name="Renamed", enabled="yes")
    assert (stored().friendly_name, token()) == ("Renamed", TOKEN)
    fields = {"friendly_name": "Renamed", "enabled": "yes", "auth_token": "n" * 32}
    answer = await browser.submit(f"/accounts/{SID}", version=await version(browser), **fields)
    told = (await browser.get(answer.headers["location"])).text
    assert "It is saved, but it cannot be read yet: Auth token was tried: no answer from Twilio" in told
    assert token() == "n" * 32


async def test_a_token_is_rotated(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    fields = {"friendly_name": "Production", "enabled": "yes"}
    await browser.submit(f"/accounts/{SID}", version=await version(browser), next_auth_token="n" * 32, **fields)
    assert stored().next_auth_token is not None
    assert "next token is set" in (await browser.get("/accounts")).text
    await browser.submit(
        f"/accounts/{SID}", version=await version(browser), auth_token="n" * 32, forget_next="yes", **fields
    )
    assert stored().next_auth_token is None
    assert token() == "n" * 32


async def test_a_key_that_is_taken_out_takes_its_secret_along(browser: Browser) -> None:
    await browser.sign_in()
    key = {"api_key_sid": "SK" + "2" * 32, "api_key_secret": "s" * 32}
    await add(browser, **key)
    await browser.submit(f"/accounts/{SID}", version=await version(browser), friendly_name="Production", enabled="yes")
    assert (stored().api_key_sid, stored().api_key_secret) == (None, None)


async def test_whoever_saves_second_sees_what_was_typed_and_that_somebody_was_faster(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    old = await version(browser)
    await browser.submit(f"/accounts/{SID}", version=old, friendly_name="First", enabled="yes")
    answer = await browser.submit(
        f"/accounts/{SID}", version=old, friendly_name="Second", enabled="yes", auth_token="n" * 32
    )
    assert answer.status_code == 409
    assert "was saved by you, elsewhere" in answer.text
    assert re.findall(r"<td>.*?<bdi>(.*?)</bdi></td>", answer.text) == ["First", "Second", "nothing", "another one"]
    assert "enter them again" in answer.text
    assert "Save mine" not in answer.text
    assert "n" * 32 not in answer.text
    assert (stored().friendly_name, token()) == ("First", TOKEN)
    again = await browser.submit(f"/accounts/{SID}", version=old, friendly_name="Second", enabled="yes", do="look")
    assert 'value="Second"' in again.text
    fields = {name: unescape(value) for name, value in HIDDEN.findall(answer.text)}
    assert leads_to(await browser.post(f"/accounts/{SID}", data=fields)) == f"/accounts/{SID}"
    assert stored().friendly_name == "Second"


async def test_a_backfill_is_asked_for_in_the_viewers_zone_and_shows_how_far_it_came(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    browser.cookies.set("zone", "Asia/Kolkata")
    now = utc_now()
    since, until = (f"{now - timedelta(days=days) + timedelta(hours=5.5):%Y-%m-%dT%H:%M}" for days in (3, 1))
    assert leads_to(await browser.submit(f"/accounts/{SID}/backfill", since=since, until=until))
    with session_scope() as session:
        found = session.scalars(select(Backfill)).first()
        assert found is not None
        assert abs(found.since - (now - timedelta(days=3))) < timedelta(minutes=1)
        for each in session.scalars(select(Backfill)):
            each.read_from = each.since + (each.until - each.since) / 2
    page = (await browser.get(f"/accounts/{SID}", headers={"X-Fragment": "streams"})).text
    assert "50%" in page
    assert "<form" not in page


async def test_a_backfill_that_makes_no_sense_says_so_at_its_fields(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    answer = await browser.submit(f"/accounts/{SID}/backfill", since="yesterday", until="2026-01-01T00:00")
    assert answer.status_code == 422
    assert 'id="since-wrong"' in answer.text
    assert 'value="yesterday"' in answer.text
    answer = await browser.submit(f"/accounts/{SID}/backfill", since="2001-01-01T00:00", until="2001-01-02T00:00")
    assert 'id="since-wrong"' in answer.text
    with session_scope() as session:
        assert session.scalars(select(Backfill)).all() == []


async def test_an_account_is_not_watched_any_more(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await add(browser)
    assert leads_to(await browser.submit(f"/accounts/{SID}/delete")) == "/accounts"
    assert (await api.get("/api/accounts")).json()["items"] == []
    assert "is not watched any more" in (await browser.get("/accounts")).text


async def test_failures_and_gaps_are_said(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    now = utc_now()
    with session_scope() as session:
        for stream in session.scalars(select(Stream)):
            stream.failures, stream.last_error = 3, "Twilio refused <b>the credentials</b>"
            session.add(
                CoverageGap(
                    stream_id=stream.id, since=now - timedelta(days=2), until=now - timedelta(days=1),
                    reason="Twilio no longer lists it", noted_at=now,
                )
            )  # fmt: skip
    page = (await browser.get(f"/accounts/{SID}")).text
    assert "Twilio refused &lt;b&gt;" in page
    assert "3 times in a row" in page
    assert page.count("<strong>Next:</strong>") <= 1
    assert "Missing for good" in page


@pytest.mark.usefixtures("warm_caches")
async def test_many_accounts_cost_no_more_statements_than_one(browser: Browser) -> None:
    await browser.sign_in()
    for number in range(4):
        await add(browser, f"AC{number:032x}")
    with count_statements() as statements:
        page = (await browser.get("/accounts")).text
    assert page.count("What was read") == 0
    assert page.count('class="streams"') == 4
    assert len(statements) <= MAX_STATEMENTS


async def test_a_key_that_may_not_change_accounts_sees_no_form(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await add(browser)
    await browser.sign_in(await api.key(Scope.WRITE))
    page = (await browser.get(f"/accounts/{SID}")).text
    assert 'action="/accounts/' not in page
    assert (await browser.get("/accounts/new")).status_code == 403
    for path in ("", "/delete", "/poll", "/backfill"):
        assert (await browser.submit(f"/accounts/{SID}{path}")).status_code == 403


async def test_an_account_shows_what_is_known_of_thirty_days(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    now = utc_now()
    with session_scope() as session:
        (stream,) = session.scalars(select(Stream).where(Stream.log_type == "call"))
        stream.complete_from, stream.complete_until = now - timedelta(days=15), now
        gap = CoverageGap(
            stream_id=stream.id, since=now - timedelta(days=6), until=now - timedelta(days=3), reason="x", noted_at=now
        )
        session.add(gap)
    page = (await browser.get(f"/accounts/{SID}")).text
    assert "40% read, 10% missing for good, 50% not read yet" in page
    assert "100% not read yet" in page


async def test_the_next_token_is_promoted_in_place(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await add(browser)
    assert "promote-token" not in (await browser.get(f"/accounts/{SID}")).text
    assert (await api.post(f"/api/accounts/{SID}/promote-token")).status_code == 409
    await browser.submit(
        f"/accounts/{SID}", version=await version(browser), next_auth_token="canary-next", enabled="yes"
    )
    assert "Promote the next token" in (await browser.get(f"/accounts/{SID}")).text
    assert leads_to(await browser.submit(f"/accounts/{SID}/promote-token")) == f"/accounts/{SID}"
    assert (token(), stored().next_auth_token) == ("canary-next", None)
    entry = (await api.get("/api/audit")).json()["items"][0]
    assert entry["action"] == "account.promote_token"
    assert "canary" not in str(entry)


async def test_signing_keys_are_entered_and_forgotten_and_never_shown(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await add(browser, signing_keys="one=canary-a\ntwo=canary=b")
    assert (await api.get(f"/api/accounts/{SID}")).json()["signing_key_ids"] == ["one", "two"]
    page = (await browser.get(f"/accounts/{SID}")).text
    assert "Stored: one, two" in page
    assert "canary" not in page
    kept = {"friendly_name": "Production", "enabled": "yes"}
    for text in ("without a mark", "two words=x"):
        wrong = await browser.submit(f"/accounts/{SID}", version=await version(browser), signing_keys=text, **kept)
        assert wrong.status_code == 422
        assert 'id="signing_keys-wrong"' in wrong.text
        assert text not in wrong.text
    await browser.submit(f"/accounts/{SID}", version=await version(browser), forget_keys="yes", **kept)
    assert (await api.get(f"/api/accounts/{SID}")).json()["signing_key_ids"] == []


async def test_an_error_of_reading_says_what_to_do_wherever_it_is_shown(browser: Browser) -> None:
    await browser.sign_in()
    await add(browser)
    error = "Twilio refused /Messages.json (HTTP 401, code 20003): check the account"
    with session_scope() as session:
        session.execute(update(Stream).values(failures=5, last_error=error))
    alert_id = make_alert(rule_name=CANNOT_READ, group={"account_sid": SID}, summary=error, error_code=None)
    browser.app.state.health = health_cache(get_settings())  # pages before have looked at what was true then
    for path in ("/", "/health", "/accounts", f"/accounts/{SID}", f"/alerts/{alert_id}"):
        assert CREDENTIALS.replace("'", "&#39;") in (await browser.get(path)).text, path
