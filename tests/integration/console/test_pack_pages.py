"""Rule packs and the week: what rules would have done, and installing them."""

from datetime import timedelta

import pytest

from app.api.console import rule_preview
from app.enums import Scope
from app.services.preview import deadline
from app.services.rules import packs
from app.utils.caching import TtlCache
from app.utils.clock import utc_now
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import EMAIL, RULE, Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.statements import MAX_STATEMENTS, count_statements

PACK = "carrier_filtering"


def feed(count: int = 3) -> None:
    """Store failed messages of the last hours."""
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    for number in range(count):
        at = now - timedelta(hours=5 + 2 * number)
        account.store([log(number, at)], at)
    account.complete(now, now - timedelta(days=20))
    evaluate(now)


async def test_packs_are_listed_with_how_many_of_their_rules_are_there(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/rules/packs")).text
    for pack in packs.list_packs():
        assert f'href="/rules/packs/{pack.name}"' in page
    await browser.submit(f"/rules/packs/{PACK}", rule=_keys()[0])
    assert f"1 of {len(_keys())} rules installed" in (await browser.get("/rules/packs")).text


def _keys() -> list[str]:
    return [rule.slug.partition("/")[2] for rule in packs.find_pack(PACK).rules]


@pytest.mark.usefixtures("warm_caches")
async def test_the_page_of_a_pack_stands_before_anything_is_counted(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    with count_statements() as statements:
        page = (await browser.get(f"/rules/packs/{PACK}")).text
    assert len(statements) <= MAX_STATEMENTS
    for key in _keys():
        assert f'data-load="/rules/packs/{PACK}?run={key}"' in page
    assert page.count("Not counted yet") == len(_keys())
    assert 'class="strip"' not in page, "what was not counted does not look like nothing"
    assert " checked" not in page.partition('class="weeks"')[2].partition("</ul>")[0], "nor is it installed unseen"
    counted = (await browser.get(f"/rules/packs/{PACK}?run=all")).text
    assert counted.count('class="strip"') == counted.count(" data-tick checked>") == len(_keys())


async def test_ticked_rules_are_installed_with_the_chosen_severity_and_marked(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    first, second = _keys()[:2]
    answer = await browser.submit(f"/rules/packs/{PACK}", rule=[first], **{f"severity.{first}": "info"})
    assert leads_to(answer) == "/rules"
    made = (await api.get("/api/rules")).json()["items"]
    assert [rule["severity"] for rule in made] == ["info"]
    page = (await browser.get(f"/rules/packs/{PACK}")).text
    assert f'href="/rules/{made[0]["id"]}"' in page
    assert f'value="{first}"' not in page
    assert f'value="{second}"' in page
    await browser.submit(f"/rules/packs/{PACK}", rule=_keys())
    assert len((await api.get("/api/rules")).json()["items"]) == len(_keys())
    assert "All of them are installed" in (await browser.get(f"/rules/packs/{PACK}")).text
    assert (await api.get("/api/audit")).json()["items"][0]["action"] == "rule.create"


async def test_nothing_ticked_installs_nothing(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    assert leads_to(await browser.submit(f"/rules/packs/{PACK}")) == f"/rules/packs/{PACK}"
    assert (await api.get("/api/rules")).json()["items"] == []


async def test_an_invented_severity_or_pack_is_refused(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    key = _keys()[0]
    assert (await browser.submit(f"/rules/packs/{PACK}", rule=key, **{f"severity.{key}": "huge"})).status_code == 422
    assert (await browser.submit("/rules/packs/none", rule="x")).status_code == 404
    assert (await browser.get("/rules/packs/none")).status_code == 404
    assert (await api.get("/api/rules")).json()["items"] == []


async def test_the_week_of_own_rules_counts_alerts_and_what_would_have_been_sent(browser: Browser, api: Api) -> None:
    feed()
    rule = (await api.post("/api/rules", json=RULE | {"resolve_after_minutes": 10})).json()
    await api.post("/api/actions", json=EMAIL)
    await browser.sign_in()
    page = (await browser.get("/rules/week?run=all")).text
    assert "<strong>3 alerts</strong>" in page
    assert "<strong>6 notifications</strong> to 1 action" in page
    assert page.count('class="on warning"') == 3
    assert f'href="/rules/{rule["id"]}"' in page


async def test_a_fragment_is_one_rule_and_then_the_totals(browser: Browser, api: Api) -> None:
    feed()
    rule = (await api.post("/api/rules", json=RULE | {"resolve_after_minutes": 10})).json()
    await api.post("/api/rules", json=RULE | {"name": "Other", "pattern_value": "30007"})
    await browser.sign_in()
    one = (await browser.get(f"/rules/week?run={rule['id']}", headers={"X-Fragment": "result"})).text
    assert one.count('class="on warning"') == 3
    assert "<html" not in one
    totals = (await browser.get("/rules/week?run=all", headers={"X-Fragment": "totals"})).text
    assert "<strong>3 alerts</strong>" in totals
    assert "nobody would be notified" in totals
    assert "<li" not in totals


async def test_the_totals_need_no_second_reading_until_something_changes(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed()
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    await browser.get(f"/rules/week?run={rule['id']}")
    monkeypatch.setattr(deadline, "MAX_SECONDS", -1)  # what is read now is refused
    monkeypatch.setattr(rule_preview.PREVIEWS, "_kept", TtlCache(0.0, 1))
    assert "Not counted" not in (await browser.get("/rules/week?run=all")).text
    await api.patch(f"/api/rules/{rule['id']}", json={"pattern_value": "30004"})
    assert "Not counted" in (await browser.get("/rules/week?run=all")).text
    await api.patch(f"/api/rules/{rule['id']}", json={"pattern_value": "30003"})
    assert "Not counted" not in (await browser.get("/rules/week?run=all")).text
    await api.post("/api/actions", json=EMAIL)
    assert "Not counted" in (await browser.get("/rules/week?run=all")).text


async def test_a_rule_that_takes_too_long_says_so_and_the_others_are_counted(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/api/rules", json=RULE | {"name": "Counted elsewhere"})
    await browser.sign_in()
    monkeypatch.setattr(deadline, "MAX_SECONDS", -1)
    page = (await browser.get("/rules/week?run=all")).text
    assert "Not counted: it is too far back" in page
    assert "1 rule is not counted" in page


async def test_no_rule_leads_to_the_packs(browser: Browser) -> None:
    await browser.sign_in()
    assert 'href="/rules/packs"' in (await browser.get("/rules/week")).text
    assert 'href="/rules/packs"' in (await browser.get("/rules")).text


async def test_a_key_that_reads_may_look_and_not_install(browser: Browser, api: Api) -> None:
    await browser.sign_in(await api.key(Scope.READ))
    page = (await browser.get(f"/rules/packs/{PACK}")).text
    assert "Installing needs the scope write" in page
    assert 'type="checkbox"' not in page
    assert (await browser.submit(f"/rules/packs/{PACK}", rule=_keys()[0])).status_code == 403
