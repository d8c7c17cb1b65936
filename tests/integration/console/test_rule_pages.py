"""The rule pages: the list, the editor with its preview, and what their forms do."""

import re
from datetime import timedelta
from html import unescape
from uuid import UUID

from app.utils.clock import utc_now
from tests.feeding import Feed, log
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.test_alert_pages import HOSTILE, make_alert


async def test_no_rule_yet_says_what_to_do(browser: Browser) -> None:
    await browser.sign_in()
    page = await browser.get("/rules")
    assert page.status_code == 200
    assert 'href="/rules/new"' in page.text


async def test_rules_are_listed_as_text_and_switched_off_and_on(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE | {"name": "Carriers <b>filter</b> us"})).json()
    await browser.sign_in()
    page = (await browser.get("/rules")).text
    assert "Carriers &lt;b&gt;filter&lt;/b&gt; us" in page
    await browser.submit(f"/rules/{rule['id']}/disable")
    assert (await api.get(f"/api/rules/{rule['id']}")).json()["enabled"] is False
    await browser.submit(f"/rules/{rule['id']}/enable")
    assert (await api.get(f"/api/rules/{rule['id']}")).json()["enabled"] is True


async def test_every_condition_has_its_editor(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    conditions = [
        {"type": "each"},
        {"type": "threshold", "count": 10, "window_minutes": 5},
        {"type": "threshold", "count": 10, "window_minutes": 5, "resolve_count": 4},
        {"type": "ratio", "percent": 5, "window_minutes": 60},
        {"type": "ratio", "percent": 5, "window_minutes": 60, "resolve_percent": 2.5},
        {"type": "no_data", "window_minutes": 30},
        {"type": "spike", "window_minutes": 15},
        {"type": "new_value", "field": "error_code"},
        {"type": "stuck", "older_than_minutes": 30},
        {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60},
    ]
    for condition in conditions:
        rule = (await api.post("/api/rules", json=RULE | {"condition": condition, "description": HOSTILE[:20]})).json()
        page = await browser.get(f"/rules/{rule['id']}")
        assert page.status_code == 200, condition
        assert "<script>alert(1)" not in page.text


async def test_a_rule_is_deleted(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    await browser.submit(f"/rules/{rule['id']}/delete")
    assert (await api.get("/api/rules")).json()["items"] == []


async def test_the_form_of_a_rule_that_is_saved_as_it_stands_changes_nothing(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    page = (await browser.get(f"/rules/{rule['id']}")).text
    form = page.partition(f'action="/rules/{rule["id"]}"')[2].partition("</form>")[0]
    fields = form_fields(form)
    answer = await browser.post(f"/rules/{rule['id']}", data=fields)
    assert answer.status_code == 303, answer.text
    volatile = {"updated_at", "last_evaluated_at"}
    after = (await api.get(f"/api/rules/{rule['id']}")).json()
    assert {key: after[key] for key in rule if key not in volatile} == {
        key: rule[key] for key in rule if key not in volatile
    }


async def test_a_rule_that_was_opened_from_an_alert_leads_back_to_it(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    alert = f"/alerts/{make_alert(rule_id=UUID(rule['id']))}"
    address = f"/rules/{rule['id']}?back={alert}"
    assert f'href="{address}"' in (await browser.get(alert)).text
    form = (await browser.get(address)).text.partition(f'action="/rules/{rule["id"]}"')[2].partition("</form>")[0]
    fields = form_fields(form)
    assert leads_to(await browser.post(f"/rules/{rule['id']}", data=fields)) == alert
    fields["back"] = ["https://example.com"]
    version = re.search(r'name="version" value="([^"]*)"', (await browser.get(address)).text)
    assert version is not None
    fields["version"] = [unescape(version[1])]
    assert leads_to(await browser.post(f"/rules/{rule['id']}", data=fields)) == "/rules"


async def test_a_new_rule_asks_before_it_warns(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/rules/new")).text
    assert "Say what counts" in page
    assert "The rule is not complete yet" not in page
    half = await browser.submit("/rules/preview", name="Half", pattern_type="error_code", log_type="message")
    assert "The rule is not complete yet" in half.text


def form_fields(form: str) -> dict[str, list[str]]:
    """The fields that a browser without script would send."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        kind = re.search(r'type="(\w+)"', tag)
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and not (kind and kind[1] in ("radio", "checkbox") and "checked" not in tag):
            found.setdefault(name[1], []).append(unescape(value[1]) if value else "on")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>([^<]*)</textarea>', form):
        found.setdefault(name, []).append(unescape(text).removeprefix("\n"))  # as browsers do
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]*selected', options)
        chosen = chosen or re.search(r'<option value="([^"]*)"', options)
        found.setdefault(name, []).append(unescape(chosen[1]) if chosen else "")
    return found


async def test_a_press_on_another_limit_sets_it(browser: Browser) -> None:
    await browser.sign_in()
    feed = Feed(utc_now() - timedelta(days=8))
    logs = [log(number, utc_now() - timedelta(hours=1, seconds=number)) for number in range(10)]
    feed.store(logs, utc_now())
    feed.complete(utc_now(), utc_now() - timedelta(days=8))
    fields = {
        "log_type": "message",
        "pattern_type": "any",
        "condition": "threshold",
        "threshold.count": "10",
        "threshold.window_minutes": "60",
        "threshold.resolve_count": "4",
        "severity": "warning",
        "name": "Many",
    }
    page = (await browser.submit("/rules/preview", **fields)).text
    found = re.findall(r'<button name="set:threshold.count" value="(\d+)"[^>]*>.*?<strong>(\d+)<', page)
    assert found == [("3", "1"), ("5", "1"), ("10", "1"), ("20", "0"), ("40", "0")]
    assert re.search(r'value="3"[^>]* disabled', page), "alerts resolve below 4"
    page = (await browser.submit("/rules/preview", **fields | {"set:threshold.count": "20"})).text
    assert re.search(r'id="threshold.count" name="threshold.count" value="20"', page)
    assert re.search(r'value="20"[^>]* aria-pressed="true"', page)
