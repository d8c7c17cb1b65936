"""The overview, the list of alerts and one alert: what they show, and what their forms do."""

import re
from datetime import timedelta
from html import unescape
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape
from sqlalchemy import text

from app.database import session_scope
from app.models import Account, Alert, Delivery
from app.utils.clock import cut_to_second, rfc3339, utc_now
from tests.factories import action_row, alert_row
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser, leads_to

HOSTILE = "<script>alert(1)</script> {{7*7}} \u202ereversed\u202c"


def make_alert(**fields: object) -> UUID:
    now = utc_now()
    values = {
        "rule_name": "A sender is filtered",
        "severity": "critical",
        "group": {"to_country": "GB"},
        "group_key": '["GB"]',
        "summary": "143 messages with error 30007 to GB",
        "last_match_at": now,
        "recorded_at": now - timedelta(minutes=22),
        "window_from": now - timedelta(hours=1),
        "occurrences": 143,
        "error_code": 30007,
    }
    with session_scope() as session:
        alert = alert_row(now - timedelta(minutes=23), **values | fields)
        session.add(alert)
        session.flush()
        return alert.id


async def test_the_overview_of_an_empty_system_says_so(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "No account is watched yet." in page
    assert "Nothing is watched yet" in page


async def test_an_open_alert_of_the_overview_is_drawn_over_time(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    each = {"pattern_type": "error_code", "pattern_value": "30003", "condition": {"type": "each"}}
    await api.post("/api/rules", json=RULE | each)
    feed, now = Feed(utc_now() - timedelta(days=1)), cut_to_second(utc_now())
    feed.complete(now)
    feed.store([log(number, now + timedelta(seconds=1)) for number in range(3)], now)
    evaluate(now + timedelta(seconds=2))
    make_alert(severity="info", summary="Without logs")
    page = (await browser.get("/")).text
    rows = page.partition('class="alerts"')[2].partition("</ul>")[0].split("<li")
    assert [('class="spark"' in row) for row in rows if "alerts/" in row] == [True, False]


async def test_open_alerts_are_listed_worst_first(browser: Browser) -> None:
    await browser.sign_in()
    now = utc_now()
    for age, severity in ((3, "warning"), (2, "critical"), (1, "info")):
        make_alert(severity=severity, summary=f"A {severity} alert", started_at=now - timedelta(minutes=age))
    page = (await browser.get("/alerts")).text
    positions = [page.index(f"A {severity} alert") for severity in ("critical", "warning", "info")]
    assert positions == sorted(positions)


async def test_without_a_rule_nothing_is_called_well(browser: Browser, api: Api) -> None:
    feed = Feed(utc_now() - timedelta(days=1))
    feed.complete(utc_now())
    await browser.sign_in()
    assert "No rule is enabled: nothing alerts." in (await browser.get("/")).text
    assert "Nothing is watched yet" in (await browser.get("/alerts")).text
    await api.post("/api/rules", json=RULE)
    for path in ("/", "/alerts"):
        page = (await browser.get(path)).text
        assert "No rule is enabled" not in page
        assert "Nothing is watched" not in page


async def test_an_open_alert_stands_on_top_of_the_overview_and_in_the_title(browser: Browser) -> None:
    make_alert()
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "<title>(1) Overview" in page
    assert "143 messages with error 30007 to GB" in page


async def test_an_alert_says_what_its_code_means_and_what_to_do(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "30007: Message filtered" in page
    assert "Next:" in page
    assert 'href="/logs?to_country=GB"' in page


async def test_an_alert_is_acknowledged_by_the_person_and_the_audit_knows_it(browser: Browser, api: Api) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    assert leads_to(await browser.submit(f"/alerts/{alert_id}/acknowledge")) == f"/alerts/{alert_id}"
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "You acknowledged this alert." in page
    assert "Acknowledged by Maria" in page
    assert "You acknowledged" not in (await browser.get(f"/alerts/{alert_id}")).text
    entry = (await api.get("/api/audit")).json()["items"][0]
    assert (entry["by"], entry["action"]) == ("Maria", "alert.acknowledge")


async def test_an_acknowledgement_can_be_undone_from_the_message_that_it_was_made(browser: Browser, api: Api) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/acknowledge", **{"for": "4h"})
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert f'action="/alerts/{alert_id}/unacknowledge"' in page.partition("You acknowledged this alert.")[2]
    assert "until <time" in page
    assert leads_to(await browser.submit(f"/alerts/{alert_id}/unacknowledge")) == f"/alerts/{alert_id}"
    assert "Acknowledged by" not in (await browser.get(f"/alerts/{alert_id}")).text
    entry = (await api.get("/api/audit")).json()["items"][0]
    assert (entry["by"], entry["action"]) == ("Maria", "alert.unacknowledge")


async def test_a_note_stands_in_what_happened_as_text(browser: Browser) -> None:
    alert_id = make_alert(status="resolved", resolved_at=utc_now(), resolve_reason="quiet")
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/notes", note="<script>alert(1)</script> {{7*7}}")
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "Maria noted" in page
    assert "<script>alert(1)" not in page
    assert (await browser.submit(f"/alerts/{alert_id}/notes", note=" ")).status_code == 422


async def test_the_second_acknowledgement_shows_the_first(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/acknowledge")
    await browser.sign_in(name="Jonas")
    await browser.submit(f"/alerts/{alert_id}/acknowledge")
    assert "Maria has acknowledged this alert already." in (await browser.get(f"/alerts/{alert_id}")).text


async def test_an_alert_is_resolved_and_a_second_time_its_page_says_so(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/resolve", note="restarted the server")
    assert "Resolved" in (await browser.get(f"/alerts/{alert_id}")).text
    for act in ("resolve", "acknowledge", "unacknowledge"):
        assert leads_to(await browser.submit(f"/alerts/{alert_id}/{act}")) == f"/alerts/{alert_id}"
        assert "was resolved already" in (await browser.get(f"/alerts/{alert_id}")).text


async def test_an_alert_that_an_edit_ended_is_not_said_to_be_over(browser: Browser) -> None:
    await browser.sign_in()
    now = utc_now()
    changed = make_alert(status="resolved", resolved_at=now, resolve_reason="rule_changed")
    page = (await browser.get(f"/alerts/{changed}")).text
    assert "Ended by an edit" in page
    assert "the rule was changed" in page
    assert "Nobody knows whether it is over" in page
    assert "Still going on: not known" in (await browser.get(f"/alerts/{changed}/support")).text
    quiet = make_alert(status="resolved", resolved_at=now, resolve_reason="quiet")
    page = (await browser.get(f"/alerts/{quiet}")).text
    assert "Ended by an edit" not in page
    assert "Nobody knows" not in page
    assert "Still going on: no\n" in (await browser.get(f"/alerts/{quiet}/support")).text


async def test_a_silence_holds_the_group_of_the_alert(browser: Browser, api: Api) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/silence", **{"for": "8h", "reason": "known"})
    made = (await api.get("/api/silences")).json()["items"][0]
    assert (made["group"], made["reason"], made["alert_ids"]) == ({"to_country": "GB"}, "known", [str(alert_id)])


async def test_what_twilio_and_users_write_is_shown_as_text(browser: Browser) -> None:
    alert_id = make_alert(summary=HOSTILE, rule_name=HOSTILE, group={"from": HOSTILE})
    await browser.sign_in()
    for path in ("/", "/alerts", f"/alerts/{alert_id}"):
        page = (await browser.get(path)).text
        assert "<script>alert(1)" not in page, path
        assert "49" not in page.partition("&lt;script&gt;")[2][:60], path
        assert "\u202e" not in page, path


async def test_a_part_of_a_page_is_asked_for_alone_and_not_again_while_it_stays(browser: Browser) -> None:
    make_alert()
    await browser.sign_in()
    part = await browser.get("/", headers={"X-Fragment": "open-alerts"})
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "143 messages" in part.text


async def test_a_part_without_a_session_tells_the_script_to_sign_in(browser: Browser) -> None:
    assert (await browser.get("/", headers={"X-Fragment": "open-alerts"})).status_code == 401


async def test_an_unknown_filter_of_a_shared_address_is_a_red_chip(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.get("/logs", params={"to_country": "Britain", "log_type": "message"})
    assert answer.status_code == 200
    assert 'class="filter wrong"' in answer.text


async def test_an_alert_that_is_not_there_is_a_page(browser: Browser) -> None:
    await browser.sign_in()
    for path in (f"/alerts/{uuid4()}", "/alerts/not-an-id", "/logs/SM" + "0" * 32):
        answer = await browser.get(path)
        assert answer.status_code == 404, path
        assert "text/html" in answer.headers["content-type"]


async def test_an_alert_shows_what_its_logs_have_in_common(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=1))
    await api.post("/api/rules", json=RULE)
    good = {"status": "delivered", "error_code": None}
    bad_text, good_text = f"{HOSTILE} bit.ly/3xK", "Hello there friend"
    feed.store([log(number, now + timedelta(seconds=number), text=bad_text) for number in range(1, 41)], now)
    feed.store(
        [log(100 + number, now + timedelta(seconds=number), text=good_text, **good) for number in range(1, 41)], now
    )
    feed.complete(now)
    evaluate(now + timedelta(seconds=60))
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert['id']}")).text
    assert "100% of them had a link to bit.ly, but none of the others." in page
    assert 'href="/logs?q=bit.ly"' in page
    assert "40 logs of this alert, against 40 others" in page
    assert "<script>alert(1)" not in page


async def test_an_alert_of_its_own_says_what_is_wrong_first_and_lists_no_logs(browser: Browser) -> None:
    alert_id = make_alert(rule_name="GiftPulse cannot read Twilio", summary="calls of account AC1: refused")
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "<h1>GiftPulse cannot read Twilio</h1>" in page
    assert "<p>Calls of account AC1: refused</p>" in page
    for part in ("What they have in common", "Its newest logs", "<dt>Logs</dt>"):
        assert part not in page
    assert ">GiftPulse cannot read Twilio: calls of account AC1: refused</a>" in (await browser.get("/alerts")).text


async def test_an_alert_names_the_accounts_that_it_is_about_and_leaves_out(browser: Browser) -> None:
    account, other = "AC" + "1" * 32, "AC" + "2" * 32
    for sid, name in ((account, "Acme"), (other, "Client <b>")):
        with session_scope() as session:
            session.get_one(Account, Feed(utc_now(), sid).account_id).friendly_name = name
    alert_id = make_alert(group={"account_sid": account}, left_out_accounts=[other, "AC3"])
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert f'<a href="/logs?account_sid={account}"><bdi>Acme</bdi></a>' in page
    assert f'<a href="/accounts/{other}"><bdi>Client &lt;b&gt;</bdi></a>, ' in page
    assert '<a href="/accounts/AC3"><bdi>AC3</bdi></a>: could not be read' in page


async def test_a_delivery_stands_after_what_it_is_about(browser: Browser) -> None:
    now = utc_now()
    alert_id = make_alert(status="resolved", resolved_at=now, resolve_reason="manual", acknowledged_by="Jonas")
    with session_scope() as session:
        action = action_row(now)
        session.add(action)
        session.flush()
        # Their transactions began before the times that the alert has.
        for kind, at, status, attempts in (
            ("alert.firing", now - timedelta(minutes=22, seconds=1), "folded", 0),
            ("alert.resolved", now - timedelta(seconds=1), "pending", 2),
        ):
            session.add(
                Delivery(
                    action_id=action.id, action_type="email", type=kind, recipient="ops@example.com", status=status,
                    content={}, created_at=at, attempt_count=attempts, alert_id=alert_id,
                )
            )  # fmt: skip
    await browser.sign_in()
    trail = re.sub(r"<[^>]+>", "", (await browser.get(f"/alerts/{alert_id}")).text.partition("What happened")[2])
    events = ("Resolved to ops@example.com", "Resolved by Jonas", "Firing to ops@example.com: in a digest", "Fired")
    assert sorted(events, key=trail.index) == list(events)
    assert "Resolved to ops@example.com: failed 2 times, is tried again" in trail


async def test_an_alert_whose_rule_was_deleted_is_not_said_to_have_been_edited(browser: Browser) -> None:
    await browser.sign_in()
    deleted = make_alert(status="resolved", resolved_at=utc_now(), resolve_reason="rule_deleted")
    page = (await browser.get(f"/alerts/{deleted}")).text
    assert "Ended with its rule" in page
    assert "Ended by an edit" not in page


async def test_an_alert_shows_what_its_condition_measured(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(hours=8))
    condition = {"type": "threshold", "count": 3, "window_minutes": 10, "resolve_count": 2}
    rule = (await api.post("/api/rules", json=RULE | {"condition": condition, "group_by": ["to_country"]})).json()
    with session_scope() as session:
        session.execute(text("UPDATE rules SET started_at = :at"), {"at": now - timedelta(hours=7)})
    began = now - timedelta(hours=1)
    feed.store([log(number, began + timedelta(seconds=number)) for number in range(7)], now)
    feed.store([log(8, began - timedelta(minutes=20), to_country="FR")], now)
    feed.complete(now - timedelta(minutes=58), now - timedelta(hours=8))
    evaluate(now)
    (alert,) = (await api.get(f"/api/alerts?rule_id={rule['id']}")).json()["items"]
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert['id']}")).text
    assert "matching messages, in 10 minutes before each moment" in page
    assert "the highest value is 7, the limit 3." in page
    assert {"limit", "limit lower", "firing", "unread"} <= set(re.findall(r'class="key ([a-z ]+)"', page))
    assert 'class="mark bad"' in page
    assert "to_country=GB" in page
    await api.delete(f"/api/rules/{rule['id']}")
    page = (await browser.get(f"/alerts/{alert['id']}")).text
    assert "by the rule as it was then" in page


async def test_the_text_for_twilios_support_has_what_they_ask_for(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=3))
    await api.post("/api/rules", json=RULE)
    feed.store([log(number, now + timedelta(seconds=number)) for number in range(1, 9)], now)
    feed.complete(now)
    evaluate(now + timedelta(seconds=60))
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    await browser.sign_in()
    assert f'href="/alerts/{alert["id"]}/support"' in (await browser.get(f"/alerts/{alert['id']}")).text
    page = (await browser.get(f"/alerts/{alert['id']}/support")).text
    for line in (
        "Account: AC" + "0" * 32,
        "Error code: 30003 (Unreachable destination handset)",
        "Sender: +14155550100",
        f"First seen: {now + timedelta(seconds=1):%Y-%m-%d %H:%M:%S} UTC",
        f"SM{8:032x}, created",
    ):
        assert line in page, line
    assert page.count("SM0000") == 5
    assert "may not trace" not in page


async def test_the_text_for_twilios_support_lists_all_codes_the_most_frequent_first(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=3))
    await api.post("/api/rules", json=RULE | {"pattern_type": "status", "pattern_value": "undelivered"})
    codes = [30007, 30007, 30007, 30003]
    feed.store([log(at, now + timedelta(seconds=at), error_code=code) for at, code in enumerate(codes, 1)], now)
    feed.complete(now)
    evaluate(now + timedelta(seconds=60))
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert['id']}/support")).text
    assert "Error codes: 30007 (Message filtered), 30003 (Unreachable destination handset)\n" in page


async def test_the_text_for_twilios_support_says_when_it_is_too_old(browser: Browser) -> None:
    alert_id = make_alert(summary=HOSTILE)
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}/support")).text
    assert "may not trace what is older" in page
    assert "No records are stored any more." in page
    assert "<script>alert(1)" not in page
    assert (await browser.get(f"/alerts/{uuid4()}/support")).status_code == 404


async def test_the_title_of_a_time_to_come_says_the_right_instant(browser: Browser) -> None:
    alert_id = make_alert()
    browser.cookies.set("zone", "Asia/Kolkata")
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    found = re.search(r'Until <time datetime="([^"]+)" title="([^"]+)">', page)
    assert found is not None
    assert found[2] == found[1].replace("T", " ").replace("Z", " UTC")
    assert "03:30:00" in found[1]


@pytest.mark.parametrize("note", ["a jam <b>" + "x" * 10_000, "\u200b"])
async def test_a_note_that_cannot_be_taken_stays_in_its_field(browser: Browser, note: str) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    answer = await browser.submit(f"/alerts/{alert_id}/notes", note=note)
    assert answer.status_code == 422
    assert f">\n{escape(note)}</textarea>" in answer.text
    assert 'id="note-wrong"' in answer.text
    assert f'data-from="/alerts/{alert_id}"' in answer.text
    assert 'http-equiv="refresh"' not in answer.text
    assert "Maria noted" not in answer.text


async def test_a_pasted_note_loses_what_turns_the_writing(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/notes", note="\u202ereversed\u202c \u2067here\u2069")
    assert "Maria noted</bdi></a>: <bdi>reversed here</bdi>" in (await browser.get(f"/alerts/{alert_id}")).text


async def test_before_a_silence_is_made_the_alerts_that_it_would_hold_are_named(browser: Browser, api: Api) -> None:
    rule = UUID((await api.post("/api/rules", json=RULE)).json()["id"])
    alert_id = make_alert(rule_id=rule)
    make_alert(rule_id=rule, summary="The same group, a sender more", group={"to_country": "GB", "from": "+1"})
    make_alert(rule_id=rule, summary="Another group", group={"to_country": "US"})
    make_alert(summary="Another rule")
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    menu = page.partition("Notify nobody about this group")[2].partition("</form>")[0]
    assert "the whole rule, not only this group: 3 open alerts" in menu
    of_group, of_rule = menu.split("For the whole rule, it silences this alert and 2 others")
    assert "It silences this alert and 1 other" in of_group
    assert "The same group, a sender more" in of_group
    assert "Another" not in of_group
    assert "The same group, a sender more" in of_rule
    assert "Another group" in of_rule
    assert "Another rule" not in of_rule


async def test_a_silence_of_an_alert_without_a_rule_says_how_much_it_holds(browser: Browser, api: Api) -> None:
    of_account, of_nothing = make_alert(group={"account_sid": "AC1"}), make_alert(group={})
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{of_account}")).text
    assert "Notify nobody about every alert of this group, of any rule" in page
    assert "the whole rule" not in page
    assert "Notify nobody about anything" in (await browser.get(f"/alerts/{of_nothing}")).text
    await browser.submit(f"/alerts/{of_account}/silence", **{"for": "1h", "whole_rule": "1"})
    made = (await api.get("/api/silences")).json()["items"][0]
    assert made["group"] == {"account_sid": "AC1"}, "never everything by a field that was not offered"


async def test_a_silence_lasts_until_a_chosen_time(browser: Browser, api: Api) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    browser.cookies.set("zone", "Asia/Kolkata")
    until = cut_to_second(utc_now() + timedelta(days=3)).replace(second=0)
    typed = f"{until.astimezone(ZoneInfo('Asia/Kolkata')):%Y-%m-%dT%H:%M}"
    await browser.submit(f"/alerts/{alert_id}/silence", **{"for": "chosen", "until": typed})
    assert (await api.get("/api/silences")).json()["items"][0]["ends_at"] == rfc3339(until)
    for wrong in ("", "tomorrow", "2020-01-01T00:00"):
        await browser.submit(f"/alerts/{alert_id}/silence", **{"for": "chosen", "until": wrong})
        assert "choose a time that is still to come" in (await browser.get(f"/alerts/{alert_id}")).text
    assert len((await api.get("/api/silences")).json()["items"]) == 1


async def test_a_silenced_alert_says_at_once_until_when_and_by_whom_and_it_can_be_ended(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/silence", **{"for": "1h", "reason": "known"})
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert re.search("Silenced until <time [^>]*>[^<]*</time> by <bdi>Maria", page)
    assert re.search(r"Silenced by Maria[^<]*</bdi></a> \(until <time [^>]*>[^<]*</time>\): <bdi>known", page)
    end = re.search('action="(/silences/[^/]*/end)"', page)
    assert end is not None
    assert leads_to(await browser.submit(end[1], next=f"/alerts/{alert_id}")) == f"/alerts/{alert_id}"
    assert "Silenced" not in (await browser.get(f"/alerts/{alert_id}")).text


async def test_a_silence_of_something_else_is_not_shown(browser: Browser) -> None:
    alert_id, other = make_alert(), make_alert(group={"to_country": "US"})
    await browser.sign_in()
    await browser.submit(f"/alerts/{other}/silence", **{"for": "1h"})
    assert "Silenced" not in (await browser.get(f"/alerts/{alert_id}")).text


@pytest.mark.parametrize(
    ("act", "fields"), [("silence", {}), ("silence", {"for": "zzz"}), ("acknowledge", {"for": "zzz"})]
)
async def test_a_length_that_no_menu_offers_is_refused(browser: Browser, act: str, fields: dict[str, str]) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    assert (await browser.submit(f"/alerts/{alert_id}/{act}", **fields)).status_code == 422
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM silences")) == 0
        assert session.get_one(Alert, alert_id).status == "firing"


async def test_a_resolved_alert_in_the_list_says_when_it_ended_and_how_long_it_took(browser: Browser) -> None:
    now = utc_now()
    make_alert(status="resolved", started_at=now - timedelta(minutes=90), resolved_at=now - timedelta(minutes=10))
    await browser.sign_in()
    for address in ("/alerts?tab=resolved", "/alerts?status=resolved"):
        page = (await browser.get(address)).text
        assert re.search("ended <time [^>]*>[^<]*</time>, after 1 h 20 min", page), address
        assert 'href="/alerts?tab=resolved" aria-current="true"' in page, address


async def test_the_end_of_an_alert_names_who_resolved_it_manually(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    await browser.submit(f"/alerts/{alert_id}/resolve")
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "Resolved by Maria" in page
    assert "Acknowledged by" not in page


async def test_the_head_of_an_alert_refreshes_itself_and_costs_nothing_while_it_stays(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in()
    page = f"/alerts/{alert_id}"
    assert 'id="state" data-live="10"' in (await browser.get(page)).text
    first = await browser.get(page, headers={"X-Fragment": "state"})
    assert "Acknowledge" in first.text
    same = await browser.get(page, headers={"X-Fragment": "state", "If-None-Match": first.headers["etag"]})
    assert same.status_code == 304
    await browser.submit(f"{page}/silence", **{"for": "8h"})
    other = await browser.get(page, headers={"X-Fragment": "state", "If-None-Match": first.headers["etag"]})
    assert "Silenced until" in other.text


async def test_the_overview_counts_every_open_alert_and_shows_the_most_urgent_first(browser: Browser) -> None:
    Feed(utc_now() - timedelta(days=1)).complete(utc_now())
    for number in range(110):
        make_alert(severity="info", summary=f"Calm {number}", started_at=utc_now() - timedelta(minutes=number))
    make_alert(severity="critical", summary="Worst", started_at=utc_now() - timedelta(days=3))
    make_alert(severity="critical", status="acknowledged", summary="Taken", acknowledged_by="Jonas")
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "112 alerts are open, 2 of them critical." in page
    assert "104 more alerts" in page
    assert page.index("Worst") < page.index("Calm")
    assert "Taken" not in page


async def test_alerts_are_acknowledged_silenced_and_resolved_together(browser: Browser, api: Api) -> None:
    first, second, third = (make_alert(group={"to_country": country}) for country in ("GB", "US", "FR"))
    over = make_alert(status="resolved", resolved_at=utc_now(), resolve_reason="quiet")
    await browser.sign_in()
    assert f'value="{first}" form="together"' in (await browser.get("/alerts")).text
    ids = {"id": [str(first), str(second), str(over), str(uuid4())]}
    assert leads_to(await browser.submit("/alerts/together", do="acknowledge", **ids)) == "/alerts"
    assert "2 alerts are acknowledged; 2 had been resolved already." in (await browser.get("/alerts")).text
    every = {"all": "1", "shown": [str(first), str(second), str(third)]}
    await browser.submit("/alerts/together", do="silence", **every)
    assert len((await api.get("/api/silences")).json()["items"]) == 3
    await browser.submit("/alerts/together", do="resolve", **every)
    assert (await api.get("/api/alerts", params={"status": "firing,acknowledged"})).json()["items"] == []
    actions = [entry["action"] for entry in (await api.get("/api/audit")).json()["items"]]
    assert [actions.count(f"alert.{act}") for act in ("acknowledge", "resolve")] == [2, 3]
    assert (await browser.submit("/alerts/together", do="nothing")).status_code == 422
    assert (await browser.submit("/alerts/together", do="resolve", id="x")).status_code == 422


async def test_resolved_alerts_stand_under_their_days_and_calm_says_since_when(browser: Browser, api: Api) -> None:
    Feed(utc_now() - timedelta(days=1)).complete(utc_now())
    await api.post("/api/rules", json=RULE)
    await browser.sign_in()
    assert "When a rule fires" in (await browser.get("/alerts")).text
    make_alert(status="resolved", resolved_at=utc_now() - timedelta(hours=3), resolve_reason="quiet")
    page = (await browser.get("/alerts?tab=resolved")).text
    assert "1 alert in 30 days" in page
    assert page.count('class="hit"') == 30
    for path in ("/alerts", "/"):
        assert "The last alert ended <time" in (await browser.get(path)).text, path
    assert "severity=critical" in (await browser.get("/alerts")).text


async def test_an_alert_leads_to_all_its_logs_and_to_earlier_ones(browser: Browser, api: Api) -> None:
    now = utc_now()
    feed = Feed(now - timedelta(days=1))
    await api.post("/api/rules", json=RULE | {"condition": {"type": "threshold", "count": 2, "window_minutes": 60}})
    later = utc_now() + timedelta(seconds=1)
    feed.store([log(number, later) for number in range(60)], later)
    feed.complete(later)
    evaluate(later)
    alert = (await api.get("/api/alerts")).json()["items"][0]
    with session_scope() as session:
        same = session.get_one(Alert, UUID(alert["id"])).fingerprint
    make_alert(
        fingerprint=same, started_at=now - timedelta(days=2), status="resolved", resolve_reason="quiet",
        resolved_at=now - timedelta(days=2) + timedelta(minutes=23),
    )  # fmt: skip
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert['id']}")).text
    assert f'href="/alerts/{alert["id"]}/logs">All of 60 logs' in page
    assert "lasted 23 min" in page
    first = (await browser.get(f"/alerts/{alert['id']}/logs")).text
    assert first.count('class="line"') == 50
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older is not None
    assert (await browser.get(older[1].replace("&amp;", "&"))).text.count('class="line"') == 10


async def test_late_alerts_and_those_of_all_other_groups_are_said_in_words(browser: Browser, api: Api) -> None:
    rule = UUID((await api.post("/api/rules", json=RULE | {"group_by": ["to_country", "from"]})).json()["id"])
    others = {"to_country": "__other__", "from": "__other__"}
    alert_id = make_alert(rule_id=rule, late=True, group=others)
    usual = make_alert()
    await browser.sign_in()
    page = (await browser.get(f"/alerts/{alert_id}")).text
    assert "Nobody was notified.</strong> The problem was already more than 24 hours old" in page
    assert "this alert combines all the others" in page
    await browser.submit(f"/alerts/{alert_id}/silence", **{"for": "1h"})
    for path in (f"/alerts/{alert_id}", "/alerts", "/silences"):
        shown = (await browser.get(path)).text
        assert "__other__" not in shown, path
    assert (await browser.get("/alerts")).text.count("Too old to notify") == 1
    assert "Nobody was notified" not in (await browser.get(f"/alerts/{usual}")).text


async def test_alerts_are_filtered_by_rule(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE | {"name": "A <b>name</b>"})).json()["id"]
    make_alert(rule_id=UUID(rule), summary="Of the rule")
    make_alert(summary="Of no rule")
    await browser.sign_in()
    page = (await browser.get("/alerts?severity=critical")).text
    offered = re.search(r'href="([^"]+)"><bdi>A &lt;b&gt;name&lt;/b&gt;</bdi></a>', page)
    assert offered is not None
    page = (await browser.get(unescape(offered[1]))).text
    assert "severity: critical" in page
    assert "Of the rule" in page
    assert "Of no rule" not in page
    assert "rule: A &lt;b&gt;name&lt;/b&gt;" in page
    assert f"rule_id={rule}" in (await browser.get(f"/rules/{rule}")).text
