"""The pages of actions: created and edited by forms, tested in place, enabled again, deleted."""

import re
from typing import Any
from uuid import UUID

from app.config import get_settings
from app.database import session_scope
from app.enums import Scope
from app.services.outbox import actions, cancellation
from app.services.outbox.action_config import config_of
from app.services.outbox.record import GONE
from app.utils.clock import utc_now
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.test_alert_pages import HOSTILE

COMMON = {"enabled": "true", "min_severity": "warning", "notify_on": ["firing", "resolved"], "rule_id": ""}
MAIL = {**COMMON, "action_type": "email", "recipients": "ops@example.com\nlead@example.com"}
WEBHOOK = {**COMMON, "action_type": "webhook", "format": "standard", "method": "POST", "headers": "X-Team: payments"}
HOOK_URL = "https://hooks.example.com/in?token=abcdef"
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{20,}")


async def only_action(api: Api) -> dict[str, Any]:
    (action,) = (await api.get("/api/actions")).json()["items"]
    return dict(action)


async def edit_form(browser: Browser, action_id: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of an action's form as a browser would post them, with some changed."""
    page = (await browser.get(f"/actions/{action_id}")).text
    seen = re.search(r'name="updated_at" value="([^"]+)"', page)
    assert seen is not None
    return {"updated_at": seen[1], **fields}


async def test_an_action_is_created_by_its_form(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    answer = await browser.submit("/actions", **MAIL | {"rule_id": rule["id"]})
    action = await only_action(api)
    assert leads_to(answer) == f"/actions/{action['id']}"
    assert (action["rule_id"], action["min_severity"]) == (rule["id"], "warning")
    assert action["notify_on"] == ["firing", "resolved"]
    assert action["config"]["recipients"] == ["ops@example.com", "lead@example.com"]
    page = (await browser.get("/actions")).text
    assert "ops@example.com" in page
    assert rule["name"] in page
    assert "Nothing sent yet" in page
    assert (await api.get("/api/audit")).json()["items"][0]["action"] == "action.create"


async def test_an_invalid_value_is_reported_at_its_field_and_the_typed_values_stay(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    answer = await browser.submit("/actions", **MAIL | {"recipients": "ops@example.com\nnobody"})
    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert 'href="#recipients"' in answer.text
    assert re.search(r'id="recipients-wrong".*line 2 ', answer.text)
    assert "ops@example.com\nnobody" in answer.text
    assert (await api.get("/api/actions")).json()["items"] == []


async def test_the_secret_of_a_webhook_is_shown_once(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.submit("/actions", **WEBHOOK, url=HOOK_URL)
    assert answer.status_code == 200
    secret = SECRET.search(answer.text)
    assert secret is not None
    path = re.search(r'action="(/actions/[0-9a-f-]{36})"', answer.text)
    assert path is not None
    page = (await browser.get(path[1])).text
    assert secret[0] not in page
    assert "abcdef" not in page
    assert "payments" not in page


async def test_masked_values_that_come_back_keep_the_stored_ones(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **WEBHOOK, url=HOOK_URL)
    action = await only_action(api)
    shown = action["config"]
    form = await edit_form(
        browser,
        action["id"],
        **WEBHOOK | {"headers": f"X-Team: {shown['headers']['X-Team']}", "min_severity": "critical"},
        url=shown["url"],
        secret=shown["secret"],
    )
    assert leads_to(await browser.submit(f"/actions/{action['id']}", **form)) == f"/actions/{action['id']}"
    with session_scope() as session:
        stored = actions.get(session, UUID(action["id"]))
        config = config_of(stored, get_settings())
        assert (config["url"], config["headers"], stored.min_severity) == (HOOK_URL, {"X-Team": "payments"}, "critical")
    again = await browser.submit(f"/actions/{action['id']}", **form)
    assert again.status_code == 409
    assert "was saved by you, elsewhere" in again.text


async def test_whoever_saves_an_action_second_sees_both_versions(browser: Browser, api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    await browser.submit("/actions", **MAIL)
    action = await only_action(api)
    opened = await edit_form(browser, action["id"], **MAIL, template="error_notification")
    await api.patch(f"/api/actions/{action['id']}", json={"min_severity": "critical"})
    typed = opened | {"rule_id": rule["id"], "recipients": "night@example.com"}
    answer = await browser.submit(f"/actions/{action['id']}", **typed)
    assert answer.status_code == 409
    assert "was saved by <bdi>" in answer.text
    cell = "<td>.*?<bdi>(.*?)</bdi></td>"
    rows = re.findall(rf'strong">(.*?)</td>{cell}{cell}', answer.text, re.DOTALL)
    assert sorted(rows) == [
        ("Addresses", "ops@example.com\nlead@example.com", "night@example.com"),
        ("From which severity", "critical", "warning"),
        ("Rule", "nothing", rule["name"]),
    ]
    look = await browser.submit(f"/actions/{action['id']}", **typed, do="look")
    assert "night@example.com" in look.text
    data: dict[str, list[str]] = {}
    for name, value in HIDDEN.findall(answer.text):
        data.setdefault(name, []).append(value)
    assert leads_to(await browser.post(f"/actions/{action['id']}", data=data)) == f"/actions/{action['id']}"
    assert (await only_action(api))["config"]["recipients"] == ["night@example.com"]


async def test_a_test_shows_in_place_what_came_of_it(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **WEBHOOK, url="http://169.254.169.254/latest")
    assert (await api.get("/api/actions")).json()["items"] == []
    await browser.submit("/actions", **WEBHOOK, url="https://nowhere.invalid/in")
    action = await only_action(api)
    answer = await browser.submit(f"/actions/{action['id']}/test")
    assert leads_to(answer) == f"/actions/{action['id']}"
    page = (await browser.get(answer.headers["location"].partition("#")[0])).text
    assert "It did not arrive" in page
    assert "Send another test" in page
    assert "It did not arrive" not in (await browser.get(f"/actions/{action['id']}?tested=never")).text


async def test_a_test_of_a_mail_shows_the_mail_in_a_frame_that_runs_nothing(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **MAIL | {"subject": "<script>{{ alert.summary }}"})
    action = await only_action(api)
    assert "<iframe" not in (await browser.get(f"/actions/{action['id']}")).text
    answer = await browser.submit(f"/actions/{action['id']}/test")
    page = await browser.get(answer.headers["location"].partition("#")[0])
    assert "SMTP_HOST" in page.text
    assert "&lt;script&gt;This is a test" in page.text
    (frame,) = re.findall(r'<iframe src="([^"]+)" [^>]* sandbox ', page.text)
    assert "; frame-src 'self'" in page.headers["content-security-policy"]
    assert "frame-src" not in (await browser.get("/actions")).headers["content-security-policy"]
    mail = await browser.get(frame)
    assert "<h1" in mail.text
    assert "3 messages undelivered to GB" in mail.text
    assert mail.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert mail.headers["x-frame-options"] == "SAMEORIGIN"
    (delivery, _) = (await api.get("/api/deliveries")).json()["items"]
    assert "<iframe" in (await browser.get(f"/deliveries/{delivery['id']}")).text


async def test_only_a_mail_has_a_picture_of_itself(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **WEBHOOK, url="https://nowhere.invalid/in")
    action = await only_action(api)
    await browser.submit(f"/actions/{action['id']}/test")
    (delivery,) = (await api.get("/api/deliveries")).json()["items"]
    assert (await browser.get(f"/deliveries/{delivery['id']}/mail")).status_code == 404
    await browser.post("/sign-out", data={"csrf": await browser.csrf()})
    assert leads_to(await browser.get(f"/deliveries/{delivery['id']}/mail")) == "/sign-in"


async def test_an_action_that_was_disabled_says_why_and_is_enabled_again(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **MAIL)
    action = await only_action(api)
    with session_scope() as session:
        cancellation.disable(session, actions.get(session, UUID(action["id"]), lock=True), GONE, utc_now())
    for path in ("/actions", f"/actions/{action['id']}"):
        assert "he receiver answered 410: it is gone" in (await browser.get(path)).text, path
    await browser.submit(f"/actions/{action['id']}/enable")
    assert (await only_action(api))["enabled"] is True
    assert "410" not in (await browser.get("/actions")).text


async def test_an_action_is_deleted(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **MAIL)
    action = await only_action(api)
    assert leads_to(await browser.submit(f"/actions/{action['id']}/delete")) == "/actions"
    assert (await api.get("/api/actions")).json()["items"] == []


async def test_a_key_that_reads_sees_an_action_without_its_forms(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **MAIL)
    action = await only_action(api)
    await browser.sign_in(await api.key(Scope.READ))
    page = (await browser.get(f"/actions/{action['id']}")).text
    assert "lead@example.com" in page
    assert 'action="/actions' not in page
    assert (await browser.get("/actions/new")).status_code == 403


async def test_what_was_typed_is_shown_as_text(browser: Browser) -> None:
    await browser.sign_in()
    for kind in ("email", "webhook", "apprise"):
        fields = {**COMMON, "action_type": kind, "recipients": HOSTILE, "url": HOSTILE, "urls": HOSTILE}
        answer = await browser.submit("/actions", **fields)
        assert answer.status_code == 422
        assert "<script>alert(1)" not in answer.text


async def test_a_new_report_silence_and_schedule_stand_in_the_zone_of_the_viewer(browser: Browser) -> None:
    browser.cookies.set("zone", "Asia/Kolkata")
    await browser.sign_in()
    assert 'name="report_timezone" value="Asia/Kolkata"' in (await browser.get("/actions/new")).text
    for address in ("/silences", "/rules/new"):
        assert "<option selected>Asia/Kolkata</option>" in (await browser.get(address)).text, address
