"""The other pages: each renders for whoever may see it, and its forms do what they say."""

import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from app.api.routes.health import health_cache
from app.config import Settings, get_settings
from app.database import session_scope
from app.enums import HoldReason, Scope
from app.models import Account, Attempt, Delivery, Silence, Stream
from app.utils.clock import cut_to_second, utc_now
from tests.conftest import forget
from tests.factories import action_row
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import EMAIL, RULE, Api, make_app
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.test_alert_pages import HOSTILE, make_alert
from tests.integration.console.test_sessions import pages

ADMIN_PAGES = {"/keys", "/people", "/audit", "/actions/new", "/accounts/new"}


def make_delivery(status: str = "failed", recipient: str = "ops@example.com", **content: str) -> UUID:
    """Store a delivery with one failed attempt, and its action."""
    now = utc_now()
    with session_scope() as session:
        action = action_row(now)
        session.add(action)
        session.flush()
        delivery = Delivery(
            action_id=action.id, action_type="email", type="alert.firing", recipient=recipient, status=status,
            content=content, created_at=now, attempt_count=1,
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        session.add(
            Attempt(
                delivery_id=delivery.id, token=uuid4(), at=now, duration_ms=1200, outcome="failed", status_code=550,
                response=HOSTILE, error="the server refused the recipient",
            )
        )  # fmt: skip
        return delivery.id


async def test_every_page_without_parameters_renders(browser: Browser) -> None:
    await browser.sign_in()
    for path in pages(browser.app, "GET"):
        if path != "/kit" and "{" not in path and "0000" not in path and "6f1c2f0e" not in path:
            assert (await browser.get(path)).status_code == 200, path


async def test_a_key_that_only_reads_sees_all_but_keys_and_audit(browser: Browser, api: Api) -> None:
    await browser.sign_in(await api.key(Scope.READ))
    for path in pages(browser.app, "GET"):
        if path != "/kit" and "{" not in path and "0000" not in path and "6f1c2f0e" not in path:
            assert (await browser.get(path)).status_code == (403 if path in ADMIN_PAGES else 200), path


async def test_a_delivery_that_is_held_says_by_what(browser: Browser) -> None:
    delivery_id = make_delivery("pending")
    with session_scope() as session:
        session.get_one(Delivery, delivery_id).held_by = HoldReason.SILENCE
    await browser.sign_in()
    page = (await browser.get(f"/deliveries/{delivery_id}")).text
    assert "Held: its alert was silenced when its bundle was over." in page
    assert "next attempt" not in page


async def test_a_delivery_shows_its_attempts_as_text_and_can_be_retried(browser: Browser) -> None:
    delivery_id = make_delivery()
    await browser.sign_in()
    page = (await browser.get(f"/deliveries/{delivery_id}")).text
    assert "the server refused the recipient" in page
    assert "<script>alert(1)" not in page
    assert leads_to(await browser.submit(f"/deliveries/{delivery_id}/retry")) == f"/deliveries/{delivery_id}"
    assert "It is pending again" in (await browser.get(f"/deliveries/{delivery_id}")).text


async def test_deliveries_are_filtered_by_the_address(browser: Browser) -> None:
    make_delivery("failed", "failed@example.com")
    make_delivery("succeeded", "succeeded@example.com")
    await browser.sign_in()
    page = (await browser.get("/deliveries", params={"status": "failed"})).text
    assert "failed@example.com" in page
    assert "succeeded@example.com" not in page


async def test_lists_lead_to_older_deliveries_and_back(browser: Browser) -> None:
    for number in range(51):
        make_delivery(recipient=f"{number}@example.com")
    await browser.sign_in()
    first = (await browser.get("/deliveries?status=failed")).text
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older is not None
    second = (await browser.get(older[1].replace("&amp;", "&"))).text
    assert ">0@example.com<" in second
    assert ">50@example.com<" not in second
    newer = re.search(r'href="([^"]+)" rel="prev"', second)
    assert newer is not None
    assert ">50@example.com<" in (await browser.get(newer[1].replace("&amp;", "&"))).text


async def test_what_is_only_known_by_its_id_is_named(browser: Browser, api: Api) -> None:
    action = (await api.post("/api/actions", json=EMAIL)).json()
    alert_id = make_alert(summary="143 messages <b>filtered</b>")
    with session_scope() as session:
        session.get_one(Delivery, make_delivery()).alert_id = alert_id
    await browser.sign_in()
    await browser.submit(f"/actions/{action['id']}/test")
    page = (await browser.get("/audit")).text
    assert "tested" in page
    assert ">action email to ops@example.com</bdi>" in page.replace("<bdi>", ">")
    page = (await browser.get("/deliveries")).text
    assert "Firing: <bdi>143 messages &lt;b&gt;filtered&lt;/b&gt;</bdi>" in page
    assert ">Test</span>" in page


async def test_a_delivery_is_listed_with_what_it_tells(browser: Browser) -> None:
    make_delivery(summary="143 messages <b>filtered</b>")
    make_delivery()
    await browser.sign_in()
    page = (await browser.get("/deliveries")).text
    assert "Firing: <bdi>143 messages &lt;b&gt;filtered&lt;/b&gt;</bdi><" in page
    assert ">Firing<" in page


async def test_an_action_whose_receiver_does_not_answer_says_so_in_the_list(browser: Browser) -> None:
    make_delivery(status="pending")
    await browser.sign_in()
    assert "Retrying" in (await browser.get("/actions")).text


async def test_the_frame_says_when_only_a_part_is_read(browser: Browser) -> None:
    Feed(utc_now() - timedelta(days=2))
    await browser.sign_in()
    assert "> Twilio is not read yet" in (await browser.get("/more")).text
    with session_scope() as session:
        stream = session.scalars(select(Stream)).first()
        assert stream is not None
        stream.last_success_at = utc_now()
    browser.app.state.frame.clear()
    assert "Part of Twilio is not read yet" in (await browser.get("/more")).text


async def test_the_overview_names_the_account_that_is_not_read(browser: Browser) -> None:
    now = utc_now()
    for letter, name in (("1", "Acme"), ("2", "Client <b>")):
        feed = Feed(now - timedelta(days=2), "AC" + letter * 32)
        with session_scope() as session:
            session.get_one(Account, feed.account_id).friendly_name = name
    await browser.sign_in()
    assert "Twilio is not read as it should be. What follows may be old." in (await browser.get("/")).text
    with session_scope() as session:
        read = select(Account.id).where(Account.friendly_name == "Acme").scalar_subquery()
        session.execute(update(Stream).where(Stream.account_id == read).values(last_success_at=now))
    browser.app.state.health = health_cache(get_settings())
    sentence = "Client &lt;b&gt; is not read as it should be. What follows may lack its newest logs."
    assert f"<h1>{sentence}</h1>" in (await browser.get("/")).text


async def test_a_silence_is_created_and_ended(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    await browser.submit("/silences", rule_id=rule["id"], field="to_country", value="GB", hours="8", reason="known")
    made = (await api.get("/api/silences")).json()["items"][0]
    assert (made["rule_id"], made["group"], made["reason"]) == (rule["id"], {"to_country": "GB"}, "known")
    assert "known" in (await browser.get("/silences")).text
    await browser.submit(f"/silences/{made['id']}/end")
    assert (await api.get("/api/silences")).json()["items"] == []
    assert leads_to(await browser.submit(f"/silences/{made['id']}/end")) == "/silences"
    assert "You have ended this silence before" in (await browser.get("/silences")).text
    assert (await browser.submit(f"/silences/{uuid4()}/end")).status_code == 404


async def test_a_silence_of_tomorrow_is_typed_in_the_zone_of_the_viewer(browser: Browser, api: Api) -> None:
    browser.cookies.set("zone", "Asia/Kolkata")
    await browser.sign_in()
    local = utc_now().astimezone(ZoneInfo("Asia/Kolkata")).replace(hour=22, minute=0, second=0, microsecond=0)
    tomorrow = local + timedelta(days=1)
    await browser.submit("/silences", rule_id="every", hours="8", **{"from": f"{tomorrow:%Y-%m-%dT%H:%M}"})
    made = (await api.get("/api/silences")).json()["items"][0]
    starts, ends = (datetime.fromisoformat(made[name]) for name in ("starts_at", "ends_at"))
    assert (made["rule_id"], ends - starts) == (None, timedelta(hours=8))
    assert starts == tomorrow
    page = (await browser.get("/silences")).text
    assert "It will silence what fires once it has started." in page
    assert "coming" in page


async def test_a_silence_without_a_choice_of_rule_or_with_a_wrong_start_is_refused(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    answer = await browser.submit("/silences", rule_id="", hours="1", **{"from": "tomorrow"})
    assert answer.status_code == 422
    assert "must be one of the rules, or every rule" in answer.text
    assert "must be a date and a time, such as" in answer.text
    assert (await api.get("/api/silences")).json()["items"] == []


async def test_an_ended_silence_fills_in_the_form_to_repeat_it(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    past = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-01T08:00:00Z"}
    with session_scope() as session:
        silence = Silence(rule_id=UUID(rule["id"]), group={"to_country": "GB"}, reason="known", created_by="Jonas")
        silence.starts_at, silence.ends_at = (datetime.fromisoformat(at) for at in past.values())
        silence.created_at = silence.starts_at
        session.add(silence)
        session.flush()
        silence_id = silence.id
    await browser.sign_in()
    assert f'href="/silences?like={silence_id}"' in (await browser.get("/silences")).text
    page = (await browser.get(f"/silences?like={silence_id}")).text
    form = page.partition('action="/silences"')[2].partition("</form>")[0]
    for selected in (f'value="{rule["id"]}" selected', 'value="to_country" selected', 'value="8" selected'):
        assert selected in form
    assert 'value="GB"' in form
    assert 'value="known"' in form
    assert (await browser.get("/silences?like=nothing")).status_code == 200


async def test_a_silence_names_the_alerts_that_it_holds(browser: Browser) -> None:
    await browser.sign_in()
    alert_id = make_alert()
    await browser.submit("/silences", rule_id="every", hours="720")
    page = (await browser.get("/silences")).text
    assert "It lasts longer than a week" in page
    assert "silences 1 alert<" in page
    assert f'href="/alerts/{alert_id}"' in page


async def test_a_silence_that_cannot_be_made_keeps_what_was_typed(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.submit("/silences", rule_id=str(uuid4()), reason="kept", hours="1")
    assert answer.status_code == 422
    assert 'value="kept"' in answer.text
    assert "there is no such rule" in answer.text


async def test_a_key_is_shown_once_and_revoked(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    page = (await browser.submit("/keys", name="dashboard", scope="read")).text
    found = re.search(r"gp_[0-9A-Za-z]{8}_[0-9A-Za-z]+", page)
    assert found is not None
    async with Api(browser.app, found[0]) as holder:
        assert (await holder.get("/api/alerts")).status_code == 200
        assert found[0] not in (await browser.get("/keys")).text
        key_id = (await api.get("/api/keys")).json()["items"][0]["id"]
        await browser.submit(f"/keys/{key_id}/revoke")
        assert (await holder.get("/api/alerts")).status_code == 401


async def test_a_key_without_a_name_is_refused_at_its_field(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.submit("/keys", name="", scope="write")
    assert answer.status_code == 422
    assert 'id="name-wrong"' in answer.text
    assert 'value="write" checked' in answer.text


async def test_the_audit_shows_what_differs_and_leads_to_it(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await api.patch(f"/api/rules/{rule['id']}", json={"name": "Carriers filter us"})
    await browser.sign_in()
    page = (await browser.get("/audit")).text
    assert "Carriers filter us" in page
    assert f'href="/rules/{rule["id"]}"' in page
    entry = next(each for each in page.split("<li>") if "changed <a" in each)
    assert "rule Carriers filter us</bdi>" in entry
    assert "pattern value" not in entry


async def test_the_audit_writes_values_as_a_person_would(browser: Browser, api: Api) -> None:
    condition = {"type": "threshold", "count": 10, "window_minutes": 5}
    rule = (await api.post("/api/rules", json=RULE | {"condition": condition})).json()
    await api.patch(f"/api/rules/{rule['id']}", json={"condition": condition | {"count": 20}, "enabled": False})
    await api.post(f"/api/alerts/{make_alert()}/acknowledge", json={"note": "mine"})
    await browser.sign_in()
    page = (await browser.get("/audit")).text
    entry = next(each for each in page.split("<li>") if "changed <a" in each)
    assert "<td>condition: count</td><td><bdi>10</bdi></td><td><bdi>20</bdi></td>" in entry
    assert "<td>enabled</td><td><bdi>yes</bdi></td><td><bdi>no</bdi></td>" in entry
    assert "window" not in entry
    assert "{&#39;" not in page
    assert "acknowledged <a" in page
    assert "alert 143 messages with error 30007 to GB</bdi>" in page


async def test_codes_are_found_by_number_and_by_word(browser: Browser) -> None:
    await browser.sign_in()
    for words in ("30007", "message filtered"):
        assert 'href="/error-codes/30007"' in (await browser.get("/error-codes", params={"q": words})).text


async def test_an_unknown_code_is_a_page_that_says_so(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.get("/error-codes/999999")
    assert answer.status_code == 404
    assert "does not know this code" in answer.text


async def test_times_are_in_the_zone_that_was_chosen(browser: Browser) -> None:
    make_delivery()
    await browser.sign_in()
    await browser.submit("/settings", zone="Asia/Kolkata", theme="dark")
    page = (await browser.get("/settings")).text
    assert 'value="Asia/Kolkata"' in page
    assert 'data-theme="dark"' in page


async def test_a_zone_that_does_not_exist_is_not_kept(browser: Browser) -> None:
    await browser.sign_in()
    await browser.submit("/settings", zone="Mars/Olympus", theme="neon")
    page = (await browser.get("/settings")).text
    assert 'value="UTC"' in page
    assert "neon" not in page


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY", "DATABASE_URL", "REDIS_URL", "SMTP_PASSWORD"])
async def test_settings_show_no_secret(browser: Browser, name: str) -> None:
    await browser.sign_in()
    page = (await browser.get("/settings")).text
    shown = page.partition(f"<code>{name}</code>")[2].partition("</tr>")[0]
    assert re.search(r">(set|not set)<", shown)


async def test_settings_say_where_each_value_comes_from(
    browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env, token = tmp_path / ".env", tmp_path / "token"
    env.write_text("NOTIFY_TIMEZONE=Europe/Berlin\n")
    token.write_text("a token that nobody may see\n")
    environment.setattr(Settings, "env_file", env)
    environment.setenv("RETENTION_DAYS", "30")
    environment.setenv("TWILIO_ACCOUNT_SID", "AC" + "1" * 32)
    environment.setenv("TWILIO_AUTH_TOKEN_FILE", str(token))
    environment.delenv("TWILIO_AUTH_TOKEN", raising=False)
    forget()
    async with Browser(make_app()) as other:
        await other.sign_in()
        page = (await other.get("/settings")).text
    rows = dict(re.findall(r"<tr><td><code>(\w+)</code></td><td><bdi>.*?</bdi></td><td[^>]*>([^<]+)<", page))
    assert rows["RETENTION_DAYS"] == "environment"
    assert rows["NOTIFY_TIMEZONE"] == ".env"
    assert rows["TWILIO_AUTH_TOKEN"] == "TWILIO_AUTH_TOKEN_FILE"
    assert rows["LOG_LEVEL"] == "default"
    assert "nobody may see" not in page


async def test_the_doctor_runs_on_request_and_says_what_to_do(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    answer = await browser.submit("/settings/doctor")
    assert answer.status_code == 200
    assert re.search(r'<p class="strong">database</p><p class="soft">PostgreSQL \d+, schema ', answer.text)
    assert re.search(r'<p class="strong">mail</p><p class="soft">SMTP_HOST is not set', answer.text)
    await browser.sign_in(await api.key(Scope.WRITE))
    assert "/settings/doctor" not in (await browser.get("/settings")).text


async def test_accounts_show_how_far_they_were_read(browser: Browser, api: Api) -> None:
    sid = "AC" + "1" * 32
    made = await api.post("/api/accounts", json={"sid": sid, "auth_token": "t" * 32, "friendly_name": "Production <b>"})
    assert made.status_code == 201, made.text
    await browser.sign_in()
    for path in ("/accounts", f"/accounts/{sid}"):
        page = (await browser.get(path)).text
        assert "Production &lt;b&gt;" in page
        assert "not read yet" in page
    assert (
        "It is polled" in (await browser.get((await browser.submit(f"/accounts/{sid}/poll")).headers["location"])).text
    )


async def test_failed_deliveries_of_an_action_are_retried_from_the_list(browser: Browser, api: Api) -> None:
    action_id = (await api.post("/api/actions", json=EMAIL)).json()["id"]
    await api.post(f"/api/actions/{action_id}/test")
    await browser.sign_in()
    assert "Retry all of them" not in (await browser.get("/deliveries")).text
    page = (await browser.get(f"/deliveries?action_id={action_id}")).text
    assert "<strong>1 delivery</strong> of this action failed since" in page
    since = re.search(r'name="since" value="([^"]+)"', page)
    assert since is not None
    answer = await browser.submit("/deliveries/retry", action_id=action_id, since=since[1])
    assert leads_to(answer) == "/deliveries"
    assert "1 delivery is pending again." in (await browser.get(f"/deliveries?action_id={action_id}")).text


async def test_the_overview_names_codes_that_no_rule_watches_until_one_does(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    Feed(now - timedelta(hours=1)).store([log(1, now - timedelta(minutes=5), error_code=30005)], now)
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "Codes that no rule watches" in page
    assert 'href="/rules/packs/' in page
    await api.post("/api/rules", json=RULE | {"pattern_value": "30005"})
    assert "Codes that no rule watches" not in (await browser.get("/")).text


async def test_every_part_that_refreshes_itself_gets_that_part_alone(browser: Browser) -> None:
    await browser.sign_in()
    for path in ("/", "/alerts", "/accounts", "/health"):
        parts = re.findall(r'id="([a-z-]+)"[^>]* data-live=', (await browser.get(path)).text)
        assert "pulse" in parts
        for part in parts:
            answer = await browser.get(path, headers={"X-Fragment": part})
            assert "<html" not in answer.text, f"{part} of {path}"
            assert answer.headers["etag"]


async def test_a_log_says_why_a_rule_did_not_alert(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    threshold = {"condition": {"type": "threshold", "count": 5, "window_minutes": 10}}
    rule = (await api.post("/api/rules", json=RULE | threshold | {"name": "<b>Many</b>"})).json()
    other = (await api.post("/api/rules", json=RULE | {"pattern_value": "30005"})).json()
    feed.store([log(1, now + timedelta(seconds=1))], now)
    evaluate(now + timedelta(seconds=2))
    await browser.sign_in()
    path = f"/logs/SM{1:032x}"
    page = (await browser.get(path)).text
    assert f"{path}?rule={rule['id']}#why" in page
    page = (await browser.get(f"{path}?rule={rule['id']}")).text
    assert "1 of 5 matches within 10 minutes when it came." in page
    assert "<b>Many" not in page
    page = (await browser.get(f"{path}?rule={other['id']}")).text
    assert "it does not match, with status undelivered, error code 30003" in page
    assert f'<option value="{rule["id"]}">' in page


async def test_a_log_says_what_became_of_it_under_each_rule(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    Feed(now - timedelta(hours=1)).store([log(1, now + timedelta(hours=1))], now)  # after the rules began
    path = f"/logs/SM{1:032x}"
    await browser.sign_in()
    page = (await browser.get(path)).text
    assert "Why did no rule match it?" in page
    assert f'href="{path}?rule=all#why"' in page
    assert "No rule looks at logs of this type." in (await browser.get(f"{path}?rule=all")).text
    other = (await api.post("/api/rules", json=RULE | {"name": "<b>A</b>", "pattern_value": "30005"})).json()
    rule = (await api.post("/api/rules", json=RULE | {"name": "Z"})).json()
    assert "And the other rules?" in (await browser.get(path)).text
    for asked in ("all", uuid4()):
        page = (await browser.get(f"{path}?rule={asked}")).text
        steps = page.partition('id="why"')[2].partition("</section>")[0]
        assert re.findall(r"\?rule=([0-9a-f-]+)#why", steps) == [rule["id"], other["id"]], "the nearest first"
        assert "It matches." in steps.partition(other["id"])[0]
        assert "Pattern: <bdi>The pattern is error code 30005: it does not match" in steps
        assert "<b>A" not in page


async def test_the_steps_of_an_explanation_tell_local_times_and_lead_to_the_alert(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    rule = (await api.post("/api/rules", json=RULE | {"pattern_type": "any", "pattern_value": None})).json()
    feed.store([log(1, now - timedelta(minutes=30)), log(2, now + timedelta(seconds=1))], now)
    evaluate(now + timedelta(seconds=2))
    (alert,) = (await api.get("/api/alerts", params={"rule_id": rule["id"]})).json()["items"]
    browser.cookies.set("zone", "Asia/Kolkata")
    await browser.sign_in()
    for number in (1, 2):
        page = (await browser.get(f"/logs/SM{number:032x}?rule={rule['id']}")).text
        steps = page.partition('id="why"')[2].partition("</section>")[0]
        assert not re.search(r" UTC[^\"]", steps), "times are local; UTC stands in the title"
        assert "<time " in steps
        assert (f'counts towards the <a href="/alerts/{alert["id"]}">alert</a>' in steps) is (number == 2)


async def test_a_silence_that_repeats_is_tried_out_and_made(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    alert_id = make_alert()
    hours = {"start": "22:00", "end": "06:00", "timezone": "Europe/Berlin", "days": "sat", "hours": "ever"}
    hours["rule_id"] = "every"
    tried = await browser.submit("/silences", do="preview", **hours)
    assert f'href="/alerts/{alert_id}"' in tried.text
    assert (await api.get("/api/silences")).json()["items"] == []
    await browser.submit("/silences", **hours)
    made = (await api.get("/api/silences")).json()["items"][0]
    assert (made["repeat"]["days"], made["ends_at"]) == (["sat"], None)
    assert "for ever" in (await browser.get("/silences")).text
    refused = await browser.submit("/silences", **hours | {"timezone": "Mars/Olympus"})
    assert refused.status_code == 422
    assert "is not a time zone" in refused.text
    endless = await browser.submit("/silences", rule_id="every", hours="ever")
    assert endless.status_code == 422
    assert "is required without repeat" in endless.text


async def test_filters_by_ids_say_what_these_stand_for(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE | {"name": "Carriers filter"})).json()["id"]
    deleted, alert = uuid4(), make_alert()
    make_alert(rule_id=deleted, rule_name="A rule of old")
    action = (await api.post("/api/actions", json=EMAIL)).json()["id"]
    await browser.sign_in()
    for path, words in (
        (f"/alerts?rule_id={rule}", "rule: Carriers filter"),
        (f"/alerts?rule_id={deleted}", "rule: A rule of old"),
        (f"/deliveries?alert_id={alert}", "alert: 143 messages with error 30007 to GB"),
        (f"/deliveries?action_id={action}", "action: email to "),
    ):
        page = (await browser.get(path)).text
        assert words in page, path
        assert f": {path.rpartition('=')[2]}" not in page, path
    unknown = str(uuid4())
    assert f"rule: {unknown}" in (await browser.get(f"/alerts?rule_id={unknown}")).text


async def test_the_response_to_a_form_refreshes_from_a_page(browser: Browser) -> None:
    await browser.sign_in()
    assert 'data-from="/rules"' in (await browser.submit("/rules/preview")).text
    refused = await browser.submit("/deliveries/retry")
    assert refused.status_code == 422
    assert 'data-from="/more"' in refused.text
    assert 'data-from="/more"' in (await browser.get("/no/such/page")).text
    assert (await browser.get("/more", headers={"X-Fragment": "pulse"})).status_code == 200


async def test_a_code_says_where_it_came_from_and_which_rules_watch_it(browser: Browser, api: Api) -> None:
    now = utc_now()
    logs = [log(number, now - timedelta(hours=1 + number), to_country="GB" if number else "US") for number in range(3)]
    Feed(now - timedelta(days=2)).store(logs, now)
    await api.post("/api/rules", json=RULE | {"name": "By range", "pattern_value": "30000-30999"})
    await api.post("/api/rules", json=RULE | {"name": "Another", "pattern_value": "30007"})
    await browser.sign_in()
    page = (await browser.get("/error-codes/30003")).text
    assert "3 logs in 30 days" in page
    assert re.findall(r"<bdi>(GB|US)</bdi></a></td><td class=\"num\">(\d+)<", page) == [("GB", "2"), ("US", "1")]
    assert "/logs?log_type=message&amp;error_code=30003&amp;since=" in page
    (link,) = re.findall(r'href="([^"]*to_country=GB[^"]*)"', page)
    assert "2 logs, " in (await browser.get(unescape(link))).text
    assert "<bdi>+14155550100</bdi>" in page
    assert "By range" in page
    assert "Another" not in page
    assert 'href="/rules/new?error_code=30003"' in page
    assert "No rule names this code." in (await browser.get("/error-codes/21211")).text


async def test_the_audit_is_filtered_by_person_and_kind(browser: Browser, api: Api) -> None:
    await api.post("/api/rules", json=RULE)
    await browser.sign_in(name="Jonas_x")
    await browser.submit("/keys", name="A phone", scope="read")
    for query, wanted in (
        ({"by": "Jonas_x"}, ["key.create"]),
        ({"by": "Jonas"}, []),
        ({"kind": "rule"}, ["rule.create"]),
        ({"kind": "rule,key", "by": "Jonas_x"}, ["key.create"]),
    ):
        answer = await api.get("/api/audit", params=query)
        assert [entry["action"] for entry in answer.json()["items"]] == wanted, query
    page = (await browser.get("/audit?kind=key")).text
    assert 'href="/audit?kind=key&amp;by=Jonas_x"' in page
    assert "rule create" not in page
    assert "No entry fits" in (await browser.get("/audit?by=Nobody")).text
    alert = make_alert()
    await browser.submit(f"/alerts/{alert}/acknowledge")
    assert 'href="/audit?by=Jonas_x"' in (await browser.get(f"/alerts/{alert}")).text
    await browser.sign_in(await api.key(Scope.READ))
    assert "/audit?by=" not in (await browser.get(f"/alerts/{alert}")).text


@pytest.mark.parametrize("digits", ["²", "9" * 5000])
async def test_digits_that_are_no_number_are_no_code(browser: Browser, digits: str) -> None:
    await browser.sign_in()
    assert (await browser.get("/error-codes", params={"after": digits})).status_code == 200
    answer = await browser.submit("/silences", rule_id="every", field="error_code", value=digits, hours="1")
    assert answer.status_code in (303, 422)
