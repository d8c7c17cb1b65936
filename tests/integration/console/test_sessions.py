"""Sign-in, sessions and CSRF: who gets in, what ends a session, and which forms are refused."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select

from app.api.console.routing import PageRoute
from app.database import session_scope
from app.enums import Scope
from app.models import ConsoleSession
from app.services import console_sessions
from app.services.console_sessions import MAX_LISTED
from app.utils.clock import rfc3339, utc_now
from tests.conftest import API_KEY, forget
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser, leads_to

OPEN = {"/sign-in", "/sign-in/phone", "/sign-in/start", "/sign-in/callback"}
OWN_FORMS = {"/sign-out", "/settings", "/rules/preview", "/set-up/hide", "/set-up/show", "/phone"}
"""Forms that change what concerns only the person who sends them."""
EXAMPLES = {"{alert_id}": "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11", "{sid}": "SM" + "0" * 32}


def pages(app: Any, method: str) -> Iterator[str]:
    for route in app.routes:
        if isinstance(route, PageRoute) and method in (route.methods or ()) and route.path not in OPEN:
            path = route.path
            for name, value in EXAMPLES.items():
                path = path.replace(name, value)
            yield path


async def test_every_page_without_a_session_leads_to_the_sign_in_and_back(browser: Browser) -> None:
    found = list(pages(browser.app, "GET"))
    assert "/" in found
    for path in found:
        answer = await browser.get(path, params={"limit": "5"})
        assert leads_to(answer) == "/sign-in", path
        assert (await browser.sign_in(next=f"{path}?limit=5")).headers["location"] == f"{path}?limit=5"
        browser.cookies.clear()


async def test_signing_in_sets_a_cookie_that_no_script_reads(browser: Browser) -> None:
    answer = await browser.sign_in(next="/alerts")
    assert leads_to(answer) == "/alerts"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "Path=/" in cookie
    assert API_KEY not in cookie
    assert (await browser.get("/alerts")).status_code == 200


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_under_https_the_cookie_is_bound_to_the_host(
    browser: Browser, environment: pytest.MonkeyPatch, scheme: str
) -> None:
    environment.setenv("PUBLIC_BASE_URL", f"{scheme}://localhost:8000")
    forget()
    from tests.integration.api.conftest import make_app

    async with Browser(make_app()) as secure:
        headers = (await secure.sign_in()).headers
    assert headers["set-cookie"].startswith("__Host-giftpulse=")
    assert "Secure" in headers["set-cookie"]
    assert "strict-transport-security" in headers


async def test_remembering_outlives_the_browser(browser: Browser) -> None:
    assert "Max-Age" not in (await browser.sign_in()).headers["set-cookie"]
    assert f"Max-Age={30 * 86400}" in (await browser.sign_in(remember="1")).headers["set-cookie"]


async def test_a_wrong_key_is_refused_and_not_repeated(browser: Browser) -> None:
    answer = await browser.sign_in("not-the-key-of-anybody")
    assert answer.status_code == 401
    assert "not-the-key-of-anybody" not in answer.text
    assert 'value="Maria"' in answer.text
    assert leads_to(await browser.get("/")) == "/sign-in"


@pytest.mark.parametrize("text", ["Grüße", "gp_" + "é" * 58, "\u0661\u0662"])
async def test_a_key_a_token_or_a_cookie_of_untrusted_text_is_refused_like_a_wrong_one(
    browser: Browser, text: str
) -> None:
    assert (await browser.sign_in(text)).status_code == 401
    cookie = f"giftpulse={quote(text)}.{text}".encode()
    assert leads_to(await browser.get("/", headers={b"Cookie": cookie})) == "/sign-in"
    await browser.sign_in()
    assert (await browser.post("/sign-out", data={"csrf": text})).status_code == 403


async def test_guessing_keys_is_slowed_down(browser: Browser) -> None:
    answers = [(await browser.sign_in(f"guess-{number}-of-a-key")).status_code for number in range(61)]
    assert answers[-1] == 429


@pytest.mark.parametrize(
    "target", ["//evil.example", r"/\evil.example", "https://evil.example", "javascript:alert(1)", "evil", ""]
)
async def test_signing_in_leads_nowhere_else(browser: Browser, target: str) -> None:
    assert (await browser.sign_in(next=target)).headers["location"] == "/"


async def test_a_revoked_key_ends_its_sessions_at_the_next_click(browser: Browser, api: Api) -> None:
    made = (await api.post("/api/keys", json={"name": "night shift", "scope": "write"})).json()
    await browser.sign_in(made["key"])
    assert (await browser.get("/alerts")).status_code == 200
    await api.delete(f"/api/keys/{made['id']}")
    assert leads_to(await browser.get("/alerts")) == "/sign-in"


async def test_a_changed_api_key_ends_the_sessions_made_from_it(
    browser: Browser, environment: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()
    environment.setenv("API_KEY", "another-key-of-the-administrator")
    forget()
    from tests.integration.api.conftest import make_app

    async with Browser(make_app()) as later:
        later.cookies = browser.cookies
        assert leads_to(await later.get("/")) == "/sign-in"


async def test_signing_out_ends_copies_of_the_cookie_too(browser: Browser) -> None:
    await browser.sign_in()
    stolen = dict(browser.cookies)
    assert leads_to(await browser.submit("/sign-out")) == "/sign-in"
    browser.cookies.update(stolen)
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_a_form_without_the_token_is_refused(browser: Browser) -> None:
    await browser.sign_in()
    for path in pages(browser.app, "POST"):
        for token in ({}, {"csrf": "made-up"}):
            answer = await browser.post(path, data={"note": "x", **token})
            assert answer.status_code == 403, path


async def test_a_token_of_another_session_is_refused(browser: Browser) -> None:
    await browser.sign_in()
    token = await browser.csrf()
    await browser.sign_in()
    assert (await browser.post("/sign-out", data={"csrf": token})).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8000"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_from_another_site_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_in()
    token = await browser.csrf()
    assert (await browser.post("/sign-out", data={"csrf": token}, headers=headers)).status_code == 403
    assert (await browser.post("/sign-in", data={"key": API_KEY}, headers=headers)).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost:8000"}, {"Sec-Fetch-Site": "same-origin"}])
async def test_a_form_of_our_own_is_accepted(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_in()
    token = await browser.csrf()
    assert leads_to(await browser.post("/sign-out", data={"csrf": token}, headers=headers)) == "/sign-in"


async def test_a_key_that_only_reads_changes_nothing(browser: Browser, api: Api) -> None:
    await browser.sign_in(await api.key(Scope.READ))
    for path in pages(browser.app, "POST"):
        if path not in OWN_FORMS:
            answer = await browser.submit(path)
            assert answer.status_code == 403, path
            assert "scope" in answer.text, path


async def test_the_api_takes_no_cookie_and_the_console_no_key(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.get("/api/alerts")).status_code == 401
    browser.cookies.clear()
    assert leads_to(await browser.get("/", headers={"X-API-Key": API_KEY})) == "/sign-in"


async def test_pages_allow_nothing_from_elsewhere_and_are_not_kept(browser: Browser) -> None:
    await browser.sign_in()
    headers = (await browser.get("/")).headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


async def test_a_session_in_use_is_signed_again(browser: Browser) -> None:
    import time_machine

    with time_machine.travel("2026-11-20T03:00:00Z", tick=False):
        from app.api.console import session as sessions
        from app.config import get_settings

        keys = get_settings().secret_keys
        mark = sessions.key_mark(keys, API_KEY)
        cookie = sessions.sign(keys, sessions.new_session("bootstrap", mark, "Maria", remember=True))
    browser.cookies.set("giftpulse", cookie)
    answer = await browser.get("/alerts")
    assert answer.status_code == 200
    assert "giftpulse=" in answer.headers["set-cookie"]
    with session_scope() as session:
        (seen,) = console_sessions.open_sessions(session, ["bootstrap"], utc_now())["bootstrap"]
        assert (seen.name, seen.expires_at - seen.seen_at) == ("Maria", sessions.REMEMBERED)
        console_sessions.delete_expired(session, seen.expires_at)
        assert not console_sessions.open_sessions(session, ["bootstrap"], utc_now())


async def test_an_address_without_a_page_gets_a_page_for_people_and_json_for_programs(browser: Browser) -> None:
    await browser.sign_in()
    page = await browser.get("/nothing-here")
    assert page.status_code == 404
    assert "There is no page at this address" in page.text
    answer = await browser.get("/nothing-here", headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"


def _inputs(page: str) -> dict[str, str]:
    """The hidden fields of a page's form, and where the form goes."""
    form = page.partition("<main")[2].partition("</form>")[0]
    found = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form))
    return {name: unescape(value) for name, value in found.items()} | {
        "action": re.findall(r'action="([^"]*)"', form)[-1]
    }


async def test_what_was_typed_survives_a_revoked_key_and_a_new_sign_in(browser: Browser, api: Api) -> None:
    made = (await api.post("/api/keys", json={"name": "Maria's", "scope": "admin"})).json()
    await browser.sign_in(made["key"])
    csrf = await browser.csrf()
    await api.delete(f"/api/keys/{made['id']}")
    typed = RULE | {"name": 'Typed "long"', "condition": "each", "severity": "warning", "auth_token": "canary-secret"}
    asked = await browser.post("/rules", data={"csrf": csrf, **typed})
    assert asked.status_code == 401
    assert "canary-secret" not in asked.text
    kept = _inputs(asked.text)
    assert kept.pop("action") == "/sign-in"
    wrong = await browser.post("/sign-in", data=kept | {"key": "wrong", "name": "Maria"})
    assert _inputs(wrong.text)["kept.name"] == 'Typed "long"'
    again = await browser.post("/sign-in", data=kept | {"key": API_KEY, "name": "Maria"})
    assert again.status_code == 200
    assert "Your form was not sent yet" in again.text
    fields = _inputs(again.text)
    assert leads_to(await browser.post(fields.pop("action"), data=fields)) == "/rules"
    assert [rule["name"] for rule in (await api.get("/api/rules")).json()["items"]] == ['Typed "long"']


async def test_a_form_that_was_opened_before_a_new_sign_in_is_asked_about(browser: Browser) -> None:
    await browser.sign_in()
    csrf = await browser.csrf()
    await browser.sign_in()
    asked = await browser.post("/keys", data={"csrf": csrf, "name": "A phone", "scope": "read"})
    assert asked.status_code == 403
    fields = _inputs(asked.text)
    assert fields["name"] == "A phone"
    assert (await browser.post(fields.pop("action"), data=fields)).status_code == 200


@pytest.mark.parametrize("path", ["//evil.example", "/api/rules", "/nothing", "https://evil.example/"])
async def test_a_sign_in_sends_no_form_to_an_address_that_is_not_ours(browser: Browser, path: str) -> None:
    answer = await browser.sign_in(kept_path=path, **{"kept.name": "x"})
    assert answer.status_code == 303
    assert leads_to(answer) == "/"


async def test_a_form_of_another_site_is_not_kept(browser: Browser) -> None:
    answer = await browser.post("/rules", data={"name": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert leads_to(answer) == "/sign-in"


async def test_revoking_a_key_says_who_is_signed_out(browser: Browser, api: Api) -> None:
    key = await api.key(Scope.READ)
    for name in ("Jonas", "Ana <b>", "Jonas"):
        async with Browser(browser.app) as other:
            await other.sign_in(key, name=name)
    async with Browser(browser.app) as gone:
        await gone.sign_in(key, name="Gone")
        await gone.submit("/sign-out")
    await browser.sign_in()
    page = (await browser.get("/keys")).text
    assert page.count("<bdi>Jonas</bdi> (seen ") == 4, "in the row and in the question"
    assert "Ana &lt;b&gt;" in page
    assert "Gone" not in page
    (made,) = (await api.get("/api/keys")).json()["items"]
    assert [each["name"] for each in made["sessions"]] == ["Jonas", "Ana <b>", "Jonas"], "the last seen first"
    await browser.submit(f"/keys/{made['id']}/revoke")
    assert "Signed out: Jonas, Ana &lt;b&gt;." in (await browser.get("/keys")).text


async def test_the_api_lists_who_is_signed_in_by_each_key_and_nothing_that_signs_in(browser: Browser, api: Api) -> None:
    used, _ = await api.key(Scope.READ), await api.key(Scope.WRITE)
    await browser.sign_in(used, remember="1")
    with session_scope() as session:
        (seen,) = session.scalars(select(ConsoleSession)).all()
        session.expunge_all()
    listed = await api.get("/api/keys")
    of_scope = {key["scope"]: key["sessions"] for key in listed.json()["items"]}
    shown = {"name": "Maria", "seen_at": rfc3339(seen.seen_at), "expires_at": rfc3339(seen.expires_at)}
    assert of_scope == {"read": [shown], "write": []}
    assert seen.nonce not in listed.text
    await browser.submit("/sign-out")
    assert [key["sessions"] for key in (await api.get("/api/keys")).json()["items"]] == [[], []]


async def test_the_api_lists_the_last_hundred_sessions_of_a_key_that_are_not_over(api: Api) -> None:
    await api.key(Scope.READ)
    (made,) = (await api.get("/api/keys")).json()["items"]
    now = utc_now()
    with session_scope() as session:
        for number in range(MAX_LISTED + 1):
            seen_at = now - timedelta(minutes=number)
            console_sessions.note(
                session, str(number), made["id"], f"No. {number}", seen_at + timedelta(days=1), seen_at
            )
        console_sessions.note(session, "over", made["id"], "Over", now, now)
    (listed,) = (await api.get("/api/keys")).json()["items"]
    assert [each["name"] for each in listed["sessions"]] == [f"No. {number}" for number in range(MAX_LISTED)]
