"""Editing: what stands beside the form, who was faster, and what was deleted meanwhile."""

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.api.console import rule_form, rule_page
from app.database import session_scope
from app.enums import Scope
from app.services.preview import samples
from app.services.rules import definition
from app.utils.clock import utc_now
from tests.feeding import Feed, log
from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.statements import MAX_STATEMENTS, count_statements
from tests.integration.console.test_pages import make_delivery

TYPED = {"log_type": "message", "condition": "each", "severity": "warning", "enabled": "yes", "renotify_minutes": "60"}


def feed() -> None:
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    texts = ("Your parcel waits", "Your code is 1234", "parcel <b>two</b>")
    account.store(
        [log(number, now - timedelta(hours=1 + number), text=words) for number, words in enumerate(texts)], now
    )


async def preview(browser: Browser, part: str, **fields: str) -> str:
    """Ask for one part of the editor, as the script does."""
    data = {"csrf": await browser.csrf(), **TYPED, **fields}
    answer = await browser.post("/rules/preview", data=data, headers={"X-Fragment": part})
    assert answer.status_code == 200
    return answer.text


async def current(browser: Browser, rule_id: str) -> str:
    """Return the version of a rule that its form carries now."""
    found = re.search(r'name="version" value="([^"]+)"', (await browser.get(f"/rules/{rule_id}")).text)
    assert found is not None
    return unescape(found[1])


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("keyword", "parcel", 2),
        ("regex", r"\d{4}", 1),
        ("error_code", "30003", 3),
        ("error_code", "30000-30999", 3),
        ("status", "undelivered", 3),
        ("expression", 'log.text.startsWith("Your")', 2),
    ],
)
async def test_the_newest_logs_that_match_stand_beside_the_form(
    browser: Browser, kind: str, value: str, found: int
) -> None:
    feed()
    await browser.sign_in()
    part = await preview(browser, "samples", pattern_type=kind, pattern_value=value)
    assert part.count("<li>") == found
    assert "<b>two</b>" not in part


async def test_logs_that_nearly_match_say_what_they_lack(browser: Browser) -> None:
    now = utc_now()
    logs = [
        log(1, now - timedelta(minutes=1)),
        log(2, now - timedelta(minutes=2), to_country="US"),
        log(3, now - timedelta(minutes=3), error_code=30005),
        log(4, now - timedelta(minutes=4), error_code=30005),
        log(5, now - timedelta(minutes=5), error_code=30900),
        log(6, now - timedelta(minutes=6), to_country="US", direction="outbound-call"),
        log(7, now - timedelta(minutes=7), status="delivered", error_code=None),
    ]
    Feed(now - timedelta(days=20)).store(logs, now)
    await browser.sign_in()
    filters = {"filters.to_country": "GB", "filters.direction": "outbound-api"}
    part = await preview(browser, "samples", pattern_type="error_code", pattern_value="30003", **filters)
    matching, _, nearly = part.partition("Nearly")
    assert matching.count("<li>") == 1
    assert re.findall(r'long">([^<]+)<', nearly) == ["its country is US, not GB", "its code is 30005, not 30003"]
    part = await preview(browser, "samples", pattern_type="status", pattern_value="failed")
    assert re.findall(r'long">([^<]+)<', part) == ["its status is undelivered, not failed"]
    assert "Nearly" not in await preview(browser, "samples", pattern_type="any")


async def test_nothing_that_matches_says_how_much_was_looked_at(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    assert "None of 3 logs" in await preview(browser, "samples", pattern_type="keyword", pattern_value="nowhere")
    filters = {"pattern_type": "keyword", "pattern_value": "parcel", "filters.to_country": "FR"}
    assert "No log of the last 7 days passes the filters" in await preview(browser, "samples", **filters)


async def test_samples_that_take_too_long_say_so(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await browser.sign_in()
    monkeypatch.setattr(rule_page, "sample", lambda *_: None)
    part = await preview(browser, "samples", pattern_type="keyword", pattern_value="parcel")
    assert "Finding them takes too long" in part


def test_a_search_for_matching_logs_that_has_to_wait_is_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_SECONDS", 0.05)
    with session_scope() as holder, session_scope() as session:
        holder.execute(text("LOCK TABLE logs"))
        assert samples.sample(session, definition.parse_rule(RULE), utc_now()) is None


@pytest.mark.parametrize(
    ("kind", "value", "marked"),
    [
        ("regex", "code (is", "("),
        ("expression", "log.error_code == ", " "),
        ("expression", "true &&\nlog.unknown == 1", "u"),
    ],
)
async def test_an_error_in_a_pattern_shows_its_position(browser: Browser, kind: str, value: str, marked: str) -> None:
    await browser.sign_in()
    part = await preview(browser, "sentence", pattern_type=kind, pattern_value=value)
    found = re.search(r'<code class="pointer">.*?<mark>(.*?)</mark>', part, re.DOTALL)
    assert found is not None, part
    assert found[1] == marked


@pytest.mark.usefixtures("warm_caches")
async def test_the_sentence_alone_reads_no_logs(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    for part in ("sentence", "restarts"):
        with count_statements() as statements:
            await preview(browser, part, pattern_type="keyword", pattern_value="parcel")
        assert not any("AS version" in statement or "text_" in statement for statement in statements), part


async def test_warnings_of_a_rule_stand_in_the_list_and_on_its_page(browser: Browser, api: Api) -> None:
    body = RULE | {"filters": {"account_sid": ["AC" + "9" * 32]}}
    rules = [(await api.post("/api/rules", json=body | {"name": f"Rule {number}"})).json() for number in range(3)]
    await browser.sign_in()
    page = (await browser.get("/rules")).text
    assert page.count("no account of this sid is watched") == 3
    assert "Accounts no account" in page
    assert "It may never match or fire" in (await browser.get(f"/rules/{rules[0]['id']}")).text


async def test_whoever_saves_a_rule_second_sees_only_what_differs(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    version = await current(browser, rule["id"])
    typed = dict(rule_form.from_definition(definition.parse_rule(RULE)).fields) | {
        "name": "Mine",
        "schedule.timezone": "UTC",
    }
    typed |= {"id": rule["id"], "version": version}
    await browser.sign_in(await api.key(Scope.WRITE), name="Jonas")
    await browser.submit(f"/rules/{rule['id']}", **typed | {"name": "Theirs"})
    await browser.sign_in()
    answer = await browser.submit(f"/rules/{rule['id']}", **typed)
    assert answer.status_code == 409
    assert "was saved by <bdi>Jonas (gp_" in answer.text
    assert re.findall(r"<td>.*?<bdi>(.*?)</bdi></td>", answer.text) == ["Theirs", "Mine"]
    await browser.submit(f"/rules/{rule['id']}", **typed | {"version": (await current(browser, rule["id"]))})
    again = await browser.submit(f"/rules/{rule['id']}", **typed | {"name": "Once more"})
    assert "was saved by you, elsewhere" in again.text


async def test_a_rule_that_is_deleted_while_edited_keeps_what_was_typed(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in(name="Jonas")
    await browser.submit(f"/rules/{rule['id']}/delete")
    await browser.sign_in()
    fields = RULE | TYPED | {"id": rule["id"], "version": "of old", "name": "Typed meanwhile"}
    answer = await browser.submit(f"/rules/{rule['id']}", **fields)
    assert answer.status_code == 409
    assert "deleted while you edited it" in answer.text
    assert "<bdi>Jonas</bdi>" in answer.text
    assert 'value="Typed meanwhile"' in answer.text
    assert 'method="post" action="/rules" data-preview' in answer.text
    assert "Typed meanwhile" in (await browser.submit("/rules/preview", **fields)).text


async def test_a_deleted_rule_says_by_whom_and_can_be_made_again(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE | {"name": "It was <b>ours</b>"})).json()
    await browser.sign_in()
    await browser.submit(f"/rules/{rule['id']}/delete")
    answer = await browser.get(f"/rules/{rule['id']}")
    assert answer.status_code == 404
    assert "It was &lt;b&gt;ours&lt;/b&gt;" in answer.text
    assert "by <bdi>Maria</bdi>" in answer.text
    assert f'href="/audit?target=rule:{rule["id"]}"' in answer.text
    form = (await browser.get(f"/rules/new?deleted={rule['id']}")).text
    assert "It was &lt;b&gt;ours&lt;/b&gt;" in form
    assert ">\n30003</textarea>" in form
    await browser.sign_in(await api.key(Scope.READ))
    page = (await browser.get(f"/rules/{rule['id']}")).text
    assert "was deleted" in page
    assert "/audit" not in page
    assert "deleted=" not in page


async def test_a_deleted_action_and_account_say_so_and_what_never_was_does_not(browser: Browser, api: Api) -> None:
    action = (await api.post("/api/actions", json=WEBHOOK)).json()
    sid = "AC" + "1" * 32
    await api.post("/api/accounts", json={"sid": sid, "auth_token": "t" * 32})
    await api.delete(f"/api/actions/{action['id']}")
    await api.delete(f"/api/accounts/{sid}")
    await browser.sign_in()
    assert "This action was deleted" in (await browser.get(f"/actions/{action['id']}")).text
    page = (await browser.get(f"/accounts/{sid}")).text
    assert "This account was deleted" in page
    assert "canary-token" not in page
    assert "There is nothing here" in (await browser.get(f"/rules/{uuid4()}")).text
    async with Browser(browser.app) as stranger:
        assert leads_to(await stranger.get(f"/actions/{action['id']}")) == "/sign-in"


async def test_failed_deliveries_are_found_by_action_and_retried_together(browser: Browser, api: Api) -> None:
    delivery_id = make_delivery("failed")
    make_delivery("succeeded")
    action_id = (await api.get(f"/api/deliveries/{delivery_id}")).json()["action_id"]
    await browser.sign_in()
    page = (await browser.get("/deliveries")).text
    assert f"/deliveries?action_id={action_id}&amp;status=failed&amp;since=7d" in page
    page = (await browser.get(f"/deliveries?action_id={action_id}&status=failed&since=7d")).text
    assert "<strong>1 delivery</strong>" in page
    await browser.submit("/deliveries/retry", action_id=action_id, since="7d")
    assert (await api.get(f"/api/deliveries/{delivery_id}")).json()["status"] == "pending"
    assert "retried together" not in (await browser.get("/deliveries")).text


@pytest.mark.usefixtures("warm_caches")
async def test_lists_cost_few_statements(browser: Browser, api: Api) -> None:
    for number in range(3):
        await api.post("/api/rules", json=RULE | {"name": f"Rule {number}"})
        await api.post("/api/actions", json=EMAIL)
        make_delivery("failed")
    await browser.sign_in()
    paths = (
        "/rules",
        "/rules/packs",
        "/rules/week",
        "/actions",
        "/deliveries",
        "/silences",
        "/keys",
        "/audit",
        "/alerts",
    )
    for path in (*paths, "/settings", "/phone", "/error-codes", "/rules/new"):
        await browser.get(path)
        with count_statements() as statements:
            await browser.get(path)
        assert len(statements) <= MAX_STATEMENTS, (path, len(statements))
