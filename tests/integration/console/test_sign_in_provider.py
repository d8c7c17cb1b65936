"""Signing in with a provider of OpenID Connect: who gets in, as whom, and for how long; and who does not."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.api.console import session as sessions
from app.api.security import Limiter
from app.config import Settings, get_settings
from app.database import session_scope
from app.services import doctor, people
from app.services.doctor import Finding
from app.utils.clock import utc_now
from app.utils.crypto import decrypt, encrypt
from tests.conftest import API_KEY, SECRET_KEY, forget
from tests.integration.api.conftest import Api, make_app
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.test_alert_pages import make_alert
from tests.kits.identity_provider import ANN, CALLBACK, CLIENT_ID, CLIENT_SECRET, IdentityProvider, identity_provider
from tests.kits.receivers import respond


@pytest.fixture
def provider(environment: pytest.MonkeyPatch) -> Iterator[IdentityProvider]:
    """A provider that the settings name; its group on-call may write."""
    with identity_provider() as found:
        environment.setenv("OIDC_ISSUER", found.issuer)
        environment.setenv("OIDC_CLIENT_ID", CLIENT_ID)
        environment.setenv("OIDC_CLIENT_SECRET", CLIENT_SECRET)
        environment.setenv("OIDC_NAME", "Example Login")
        environment.setenv("OIDC_WRITE_GROUPS", "on-call")
        forget()
        yield found


@pytest.fixture
async def browser(database: str, provider: IdentityProvider) -> AsyncIterator[Browser]:
    async with Browser(make_app()) as client:
        yield client


@pytest.fixture
def settings_change(environment: pytest.MonkeyPatch) -> Any:
    """Changes settings, as a restart with others does; sessions stay."""

    def change(browser: Browser, **values: str) -> None:
        for name, value in values.items():
            environment.setenv(name, value)
        forget()
        browser._transport = httpx.ASGITransport(app=make_app())

    return change


async def go_there(browser: Browser, target: str = "/") -> str:
    """Begin a sign-in and pass it at the provider; return the address that the browser is sent back to."""
    begun = await browser.get("/sign-in/start", params={"next": target})
    assert begun.status_code == 303, begun.text
    async with httpx.AsyncClient() as other:
        passed = await other.get(begun.headers["location"])
    assert passed.status_code == 302, passed.text
    back = passed.headers["location"]
    assert back.startswith(CALLBACK)
    return back


async def sign_in(browser: Browser, target: str = "/") -> httpx.Response:
    return await browser.get(await go_there(browser, target))


async def who(browser: Browser) -> str:
    """Return the name and scope in the frame of a page."""
    page = await browser.get("/more")
    assert page.status_code == 200, page.headers
    found = re.search(r"Signed in as <bdi>(.*?)</bdi>, scope (\w+)", page.text)
    assert found is not None
    return f"{found[1]}: {found[2]}"


async def test_a_person_signs_in_and_lands_where_they_wanted_to_go(
    browser: Browser, provider: IdentityProvider
) -> None:
    page = await browser.get("/sign-in", params={"next": "/rules?severity=critical"})
    link = re.search(r'href="(/sign-in/start[^"]*)"[^>]*>Sign in with Example Login', page.text)
    assert link is not None
    begun = await browser.get(link[1].replace("&amp;", "&"))
    async with httpx.AsyncClient() as other:
        passed = await other.get(begun.headers["location"])
    answer = await browser.get(passed.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/rules?severity=critical")
    assert await who(browser) == "Ann Lee (ann@example.com): write"


async def test_what_is_sent_to_the_provider_is_what_the_standard_asks_for(
    browser: Browser, provider: IdentityProvider
) -> None:
    first = (await browser.get("/sign-in/start")).headers["location"]
    second = (await browser.get("/sign-in/start")).headers["location"]
    asked = [parse_qs(urlsplit(each).query) for each in (first, second)]
    assert asked[0]["scope"] == ["openid profile email groups"]
    assert asked[0]["redirect_uri"] == [CALLBACK]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[0][name][0]) >= 43, "of 256 random bits"
        assert asked[0][name] != asked[1][name]
    assert CLIENT_SECRET not in first


async def test_acknowledgements_and_the_audit_carry_name_and_address(browser: Browser) -> None:
    alert_id = make_alert()
    await sign_in(browser)
    assert leads_to(await browser.submit(f"/alerts/{alert_id}/acknowledge")) == f"/alerts/{alert_id}"
    async with Api(browser.app, API_KEY) as api:
        [entry] = (await api.get("/api/audit", params={"by": "Ann Lee"})).json()["items"]
        alert = (await api.get(f"/api/alerts/{alert_id}")).json()
    assert (entry["by"], entry["action"]) == ("Ann Lee (ann@example.com)", "alert.acknowledge")
    assert alert["acknowledged_by"] == "Ann Lee (ann@example.com)"


@pytest.mark.parametrize(
    ("groups", "scope"),
    [
        (["everyone"], "read"),
        (["on-call", "everyone"], "write"),
        (["everyone", "boss", "on-call"], "admin"),
        ("boss", "admin"),
    ],
)
async def test_the_widest_scope_of_the_groups_holds(
    browser: Browser, provider: IdentityProvider, settings_change: Any, groups: Any, scope: str
) -> None:
    settings_change(browser, OIDC_READ_GROUPS="everyone", OIDC_ADMIN_GROUPS="other, boss")
    provider.person["groups"] = groups
    await sign_in(browser)
    assert await who(browser) == f"Ann Lee (ann@example.com): {scope}"


@pytest.mark.parametrize(
    "groups", [[], ["On-Call"], ["on-call-trainee"], ["*"], None, {"on-call": True}, [["on-call"]], 7]
)
async def test_nobody_without_a_group_gets_in(browser: Browser, provider: IdentityProvider, groups: Any) -> None:
    provider.person["groups"] = groups
    answer = await sign_in(browser)
    assert answer.status_code == 403
    assert "ann@example.com is in no group that may use GiftPulse" in answer.text
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_a_stranger_leaves_no_trace_and_who_lost_the_group_is_out_at_once(
    browser: Browser, provider: IdentityProvider
) -> None:
    await sign_in(browser)
    async with Browser(browser.app) as elsewhere, Api(browser.app, API_KEY) as api:
        provider.person |= {"groups": []}
        assert (await sign_in(elsewhere)).status_code == 403
        assert leads_to(await browser.get("/")) == "/sign-in"
        provider.person |= {"sub": "stranger-1"}
        assert (await sign_in(elsewhere)).status_code == 403
        listed = (await api.get("/api/people")).json()["items"]
    assert [(each["name"], each["scope"]) for each in listed] == [("Ann Lee", None)]


async def test_nobody_loses_access_while_the_provider_cannot_say_their_groups(
    browser: Browser, provider: IdentityProvider
) -> None:
    provider.in_token = ("sub", "name")
    await sign_in(browser)
    provider.broken["userinfo"] = respond(503)
    async with Browser(browser.app) as elsewhere:
        failed = await sign_in(elsewhere)
    assert (failed.status_code, "userinfo with 503" in failed.text) == (502, True)
    assert (await who(browser)).endswith(": write")


async def test_a_claim_that_is_null_comes_from_userinfo(browser: Browser, provider: IdentityProvider) -> None:
    provider.changed = {"groups": None}
    await sign_in(browser)
    assert (await who(browser)).endswith(": write")


async def test_an_issuer_with_a_slash_at_its_end_has_the_same_people(
    browser: Browser, provider: IdentityProvider, settings_change: Any
) -> None:
    await sign_in(browser)
    settings_change(browser, OIDC_ISSUER=f"{provider.issuer}/")
    assert (await who(browser)).endswith(": write")


async def test_nobody_imitates_a_person_by_a_name_that_they_type(browser: Browser) -> None:
    alert_id = make_alert()
    await browser.sign_in(name="Ann Lee (ann@example.com)")
    await browser.submit(f"/alerts/{alert_id}/acknowledge")
    async with Api(browser.app, API_KEY) as api:
        alert = (await api.get(f"/api/alerts/{alert_id}")).json()
    assert alert["acknowledged_by"] == "Ann Lee ann@example.com"


async def test_a_session_is_listed_until_it_ends(browser: Browser) -> None:
    await sign_in(browser)
    found = sessions.read([SECRET_KEY], browser.cookies["giftpulse"].strip('"'), utc_now())
    assert found is not None
    later = utc_now() + timedelta(hours=11)
    assert found[0].ends_at(later) == datetime.fromtimestamp(found[0].until or 0, UTC)
    async with Api(browser.app, API_KEY) as api:
        [person] = (await api.get("/api/people")).json()["items"]
    assert datetime.fromisoformat(person["sessions"][0]["expires_at"]) <= utc_now() + timedelta(hours=12)


async def test_people_who_have_not_come_for_long_are_deleted(browser: Browser) -> None:
    await sign_in(browser)
    now = utc_now()
    for age, left in ((timedelta(days=89), 1), (timedelta(days=91), 0)):
        with session_scope() as session:
            people.delete_absent(session, now + age)
        async with Api(browser.app, API_KEY) as api:
            assert len((await api.get("/api/people")).json()["items"]) == left


@pytest.mark.parametrize(
    ("target", "led_to"),
    [
        ("//[", "/"),
        ("http://[", "/"),
        ("/\u2603?a=%41&b=\u00e4", "/%E2%98%83?a=%41&b=%C3%A4"),
        ("/logs?q=" + "x" * 3_000, "/logs"),
        ("/" + "x" * 3_000, "/"),
        ("/logs?status=failed&q=a%20b+c", "/logs?status=failed&q=a%20b+c"),
    ],
)
async def test_the_way_back_fits_into_a_cookie_and_an_address(browser: Browser, target: str, led_to: str) -> None:
    answer = await sign_in(browser, target)
    assert (answer.status_code, answer.headers["location"]) == (303, led_to)
    assert (await browser.get("/sign-in", params={"next": target})).status_code == 303


async def test_sign_ins_that_are_not_finished_do_not_pile_up(browser: Browser) -> None:
    for _ in range(10):
        await browser.get("/sign-in/start")
    assert len([name for name in browser.cookies if name.startswith("giftpulse-sign-in-")]) <= 5


async def test_a_star_lets_everybody_in(browser: Browser, provider: IdentityProvider, settings_change: Any) -> None:
    settings_change(browser, OIDC_READ_GROUPS="*")
    provider.person["groups"] = None
    await sign_in(browser)
    assert await who(browser) == "Ann Lee (ann@example.com): read"


@pytest.mark.parametrize(
    ("claim", "person"),
    [
        ("https://example.com/roles", {"https://example.com/roles": ["on-call"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["on-call"]}}),
        ("a.b.c", {"a": {"b.c": ["on-call"]}}),
    ],
)
async def test_the_claim_of_groups_can_be_any(
    browser: Browser, provider: IdentityProvider, settings_change: Any, claim: str, person: dict[str, Any]
) -> None:
    settings_change(browser, OIDC_GROUPS_CLAIM=claim)
    provider.person |= {"groups": ["on-call-trainee"]} | person
    await sign_in(browser)
    assert (await who(browser)).endswith(": write")


async def test_what_the_id_token_lacks_comes_from_userinfo(browser: Browser, provider: IdentityProvider) -> None:
    provider.in_token = ("sub",)
    await sign_in(browser)
    assert await who(browser) == "Ann Lee (ann@example.com): write"


async def test_userinfo_of_another_person_is_not_believed(browser: Browser, provider: IdentityProvider) -> None:
    provider.in_token, provider.changed = ("sub",), {"sub": "bob-8"}
    assert (await sign_in(browser)).status_code == 403


@pytest.mark.parametrize(
    ("person", "shown"),
    [
        ({"name": None, "preferred_username": "ann"}, "ann (ann@example.com)"),
        ({"email": None}, "Ann Lee (ann-7)"),
        ({"email_verified": False, "email": "boss@example.com"}, "Ann Lee (ann-7)"),
        ({"name": "Ann\u202e\n  Lee\x07"}, "Ann Lee (ann@example.com)"),
        ({"name": "<b>Ann</b>"}, "&lt;b&gt;Ann&lt;/b&gt; (ann@example.com)"),
        ({"name": None, "email": "boss@example.com", "email_verified": False}, "ann-7 (ann-7)"),
        ({"name": None, "preferred_username": "b@x", "email": "b@x", "email_verified": "false"}, "ann-7 (ann-7)"),
        ({"name": 7, "email": ["x@example.com"]}, "ann-7 (ann-7)"),
        ({"name": "A" * 5_000}, f"{'A' * 100} (ann@example.com)"),
    ],
)
async def test_names_and_addresses_of_every_kind(
    browser: Browser, provider: IdentityProvider, person: dict[str, Any], shown: str
) -> None:
    provider.person |= person
    await sign_in(browser)
    assert await who(browser) == f"{shown}: write"


FORGED: dict[str, dict[str, Any]] = {
    "another issuer": {"changed": {"iss": "https://elsewhere.example.com"}},
    "another client": {"changed": {"aud": "other"}},
    "several clients, issued to another": {"changed": {"aud": [CLIENT_ID, "other"], "azp": "other"}},
    "several clients, issued to none": {"changed": {"aud": [CLIENT_ID, "other"]}},
    "over": {"changed": {"exp": 1_700_000_000}},
    "without an end": {"changed": {"exp": None}},
    "of the future": {"changed": {"iat": 4_000_000_000, "exp": 4_000_000_300}},
    "another nonce": {"changed": {"nonce": "x" * 43}},
    "no nonce": {"changed": {"nonce": None}},
    "no subject": {"changed": {"sub": None}},
    "a subject that is no text": {"changed": {"sub": 7}},
    "a subject that cannot be stored": {"changed": {"sub": "ann\x00"}},
    "a subject that hides what it is": {"changed": {"sub": "ann\u202e"}},
    "a subject that fills the cookie": {"changed": {"sub": "a" * 256}},
    "not signed": {"algorithm": "none"},
    "signed with the client's secret": {"algorithm": "HS256"},
    "signed with a key that is not published": {"signs_with": "second"},
}


@pytest.mark.parametrize("forgery", FORGED.values(), ids=FORGED.keys())
async def test_a_token_that_proves_nothing_lets_nobody_in(
    browser: Browser, provider: IdentityProvider, forgery: dict[str, Any]
) -> None:
    for name, value in forgery.items():
        setattr(provider, name, value)
    answer = await sign_in(browser)
    assert answer.status_code == 403
    assert "Signing in with Example Login failed" in answer.text
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_a_token_for_several_clients_that_was_issued_to_us_holds(
    browser: Browser, provider: IdentityProvider
) -> None:
    provider.changed = {"aud": [CLIENT_ID, "account"], "azp": CLIENT_ID}
    assert leads_to(await sign_in(browser)) == "/"


async def test_a_new_key_of_the_provider_is_fetched(browser: Browser, provider: IdentityProvider) -> None:
    await sign_in(browser)
    provider.published, provider.signs_with = ["second"], "second"
    assert leads_to(await sign_in(browser)) == "/"
    provider.published, provider.signs_with, provider.algorithm = ["curve"], "curve", "ES256"
    provider.document = {"id_token_signing_alg_values_supported": None}
    assert (await sign_in(browser)).status_code == 403, "the document was read a moment ago, and names RS256"


async def test_keys_of_other_uses_and_kinds_do_no_harm(browser: Browser, provider: IdentityProvider) -> None:
    provider.more_keys = [
        {"kty": "future"},
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0"},
        7,
        {"kty": "RSA", "use": "enc"},
    ]
    assert leads_to(await sign_in(browser)) == "/"


async def test_a_sign_in_counts_once_and_only_in_the_browser_that_started_it(
    browser: Browser, provider: IdentityProvider
) -> None:
    back = await go_there(browser)
    async with Browser(browser.app) as other:
        answer = await other.get(back)
        assert answer.status_code == 400
        assert "started in another browser" in answer.text
    assert leads_to(await browser.get(back)) == "/"
    assert (await browser.get(back)).status_code == 400, "the cookie is used up"


async def test_sign_ins_in_two_tabs_do_not_disturb_each_other(browser: Browser) -> None:
    first, second = await go_there(browser, "/rules"), await go_there(browser, "/logs")
    assert leads_to(await browser.get(second)) == "/logs"
    assert leads_to(await browser.get(first)) == "/rules"


@pytest.mark.parametrize(("minutes", "status"), [(9, 303), (11, 400), (-1, 400)])
async def test_a_sign_in_may_take_ten_minutes(browser: Browser, minutes: int, status: int) -> None:
    back = await go_there(browser)
    [name] = [each for each in browser.cookies if each.startswith("giftpulse-sign-in-")]
    kept = json.loads(decrypt([SECRET_KEY], browser.cookies[name].strip('"')))
    kept[-1] -= minutes * 60
    browser.cookies.delete(name)
    browser.cookies.set(name, encrypt([SECRET_KEY], json.dumps(kept)))
    assert (await browser.get(back)).status_code == status


async def test_an_answer_of_another_state_is_refused(browser: Browser) -> None:
    back = await go_there(browser)
    state = parse_qs(urlsplit(back).query)["state"][0]
    forged = back.replace(state, state[:-1] + ("A" if state[-1] != "A" else "B"))
    assert (await browser.get(forged)).status_code == 400
    assert leads_to(await browser.get(back)) == "/"


@pytest.mark.parametrize("state", ["", "x", "x" * 5_000, "\u00e4\u00f6", "a;b=c", "../.."])
async def test_a_state_of_nobody_is_refused(browser: Browser, state: str) -> None:
    answer = await browser.get("/sign-in/callback", params={"state": state, "code": "x"})
    assert answer.status_code == 400


async def test_an_answer_of_another_issuer_is_refused(browser: Browser, provider: IdentityProvider) -> None:
    provider.sends = {"iss": "https://elsewhere.example.com"}
    assert (await sign_in(browser)).status_code == 403
    assert provider.asked("token") == [], "the code is another's"


async def test_a_provider_that_promises_its_name_must_send_it(browser: Browser, provider: IdentityProvider) -> None:
    provider.document, provider.sends = {"authorization_response_iss_parameter_supported": True}, {"iss": None}
    assert (await sign_in(browser)).status_code == 403


async def test_a_refusal_is_told_by_its_code_and_not_by_a_text_of_anybody(
    browser: Browser, provider: IdentityProvider
) -> None:
    provider.sends = {"code": None, "error": "access_denied", "error_description": "Call 555-0100 now"}
    answer = await sign_in(browser)
    assert answer.status_code == 403
    assert "access_denied" in answer.text
    assert "555" not in answer.text
    provider.sends = {"code": None, "error": "Call 555-0100 now"}
    assert "555" not in (await sign_in(browser)).text


@pytest.mark.parametrize(
    "target", ["//evil.example.com", "https://evil.example.com/", "/\\evil.example.com", "javascript:x"]
)
async def test_nobody_is_led_elsewhere(browser: Browser, target: str) -> None:
    answer = await sign_in(browser, target)
    assert answer.headers["location"] == "/"


async def test_a_session_ends_after_twelve_hours_however_it_is_used(browser: Browser) -> None:
    await sign_in(browser)
    cookie = browser.cookies["giftpulse"].strip('"')
    found = sessions.read([SECRET_KEY], cookie, utc_now())
    assert found is not None
    until = found[0].until or 0
    assert timedelta(hours=11, minutes=59) < datetime.fromtimestamp(until, UTC) - utc_now() <= timedelta(hours=12)
    # As if it was signed again ten hours later, when it was used.
    renewed = sessions.sign([SECRET_KEY], found[0]._replace(until=until - 36_000))
    almost, over = utc_now() + timedelta(hours=1, minutes=59), utc_now() + timedelta(hours=2)
    assert sessions.read([SECRET_KEY], renewed, almost) is not None
    assert sessions.read([SECRET_KEY], renewed, over) is None


async def test_a_group_that_loses_its_scope_ends_sessions_at_once(browser: Browser, settings_change: Any) -> None:
    await sign_in(browser)
    settings_change(browser, OIDC_WRITE_GROUPS="", OIDC_READ_GROUPS="on-call")
    assert await who(browser) == "Ann Lee (ann@example.com): read"
    settings_change(browser, OIDC_READ_GROUPS="others")
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_another_issuer_ends_sessions(browser: Browser, settings_change: Any) -> None:
    await sign_in(browser)
    settings_change(browser, OIDC_ISSUER="https://login.example.org")
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_signing_out_ends_the_session(browser: Browser) -> None:
    await sign_in(browser)
    cookie = browser.cookies["giftpulse"]
    assert leads_to(await browser.submit("/sign-out")) == "/sign-in"
    browser.cookies.set("giftpulse", cookie)
    assert leads_to(await browser.get("/")) == "/sign-in"


async def test_an_administrator_signs_a_person_out_everywhere(browser: Browser) -> None:
    await sign_in(browser)
    async with Browser(browser.app) as administrator, Api(browser.app, API_KEY) as api:
        [person] = (await api.get("/api/people")).json()["items"]
        assert (person["name"], person["address"], person["scope"], person["groups"]) == (
            ANN["name"],
            ANN["email"],
            "write",
            ["on-call"],
        )
        assert len(person["sessions"]) == 1
        await administrator.sign_in()
        page = (await administrator.get("/people")).text
        assert "ann@example.com" in page
        assert leads_to(await administrator.submit(f"/people/{person['id']}/sign-out")) == "/people"
        assert leads_to(await browser.get("/")) == "/sign-in"
        await sign_in(browser)
        assert (await api.delete(f"/api/people/{person['id']}/sessions")).status_code == 204
        assert leads_to(await browser.get("/")) == "/sign-in"
        actions = [entry["action"] for entry in (await api.get("/api/audit")).json()["items"]]
        assert actions == ["person.sign_out", "person.sign_out"]
        assert (await api.delete("/api/people/00000000-0000-0000-0000-000000000000/sessions")).status_code == 404


async def test_one_person_is_one_row_however_often_they_sign_in(browser: Browser, provider: IdentityProvider) -> None:
    await sign_in(browser)
    provider.person |= {"name": "Ann Smith", "groups": ["on-call"]}
    await sign_in(browser)
    async with Api(browser.app, API_KEY) as api:
        [person] = (await api.get("/api/people")).json()["items"]
    assert person["name"] == "Ann Smith"
    assert len(person["sessions"]) == 2


async def test_with_passwordless_only_no_key_signs_in(browser: Browser, settings_change: Any) -> None:
    await browser.sign_in()
    assert (await browser.get("/")).status_code == 200
    settings_change(browser, PASSWORDLESS_ONLY="true")
    assert leads_to(await browser.get("/")) == "/sign-in", "the session of a key is over"
    page = (await browser.get("/sign-in")).text
    assert 'name="key"' not in page
    assert "Sign in with Example Login" in page
    refused = await browser.sign_in()
    assert refused.status_code == 403
    assert "not with a key" in refused.text
    await sign_in(browser)
    assert (await browser.get("/")).status_code == 200
    async with Api(browser.app, API_KEY) as api:
        assert (await api.get("/api/rules")).status_code == 200, "API keys stay as they are"


async def test_a_form_that_outlived_its_session_is_sent_after_the_sign_in(
    browser: Browser, settings_change: Any
) -> None:
    settings_change(browser, PASSWORDLESS_ONLY="true")
    typed = {"reason": "Planned work", "minutes": "60"}
    page = (await browser.post("/silences", data={"csrf": "old", **typed})).text
    assert 'target="_blank"' in page
    kept = dict(re.findall(r'name="(kept[^"]*)" value="([^"]*)"', page))
    assert kept["kept.reason"] == "Planned work"
    early = await browser.post("/sign-in", data=kept)
    assert (early.status_code, "You have not signed in yet" in early.text) == (401, True)
    assert 'value="Planned work"' in early.text
    await sign_in(browser)
    again = await browser.post("/sign-in", data=kept)
    assert again.status_code == 200
    assert "Planned work" in again.text


async def test_a_phone_is_led_to_the_sign_in(browser: Browser) -> None:
    await sign_in(browser)
    page = await browser.get("/phone")
    assert "http://localhost:8000/sign-in" in page.text
    assert "code=" not in page.text
    assert (await browser.submit("/phone")).status_code == 403


async def test_without_a_provider_there_is_none(database: str) -> None:
    async with Browser(make_app()) as plain:
        assert "Sign in with" not in (await plain.get("/sign-in")).text
        assert (await plain.get("/sign-in/start")).status_code == 404


BROKEN: dict[str, tuple[str, Any, str]] = {
    "no document": (".well-known/openid-configuration", respond(404), "404"),
    "a page instead of the document": (".well-known/openid-configuration", respond(200, b"<html>"), "no JSON object"),
    "a document of an attacker's size": (
        ".well-known/openid-configuration",
        respond(200, b" " * 2_000_000),
        "too large",
    ),
    "no keys": ("keys", respond(200, b'{"keys": []}'), "none that signs"),
    "keys that fail": ("keys", respond(503), "503"),
    "tokens that fail": ("token", respond(500), "500"),
    "another refusal": ("token", respond(400, b'{"error": "invalid_request"}'), "400 (invalid_request)"),
    "the client may not do this": ("token", respond(400, b'{"error": "unauthorized_client"}'), "OIDC_CLIENT_ID"),
    "the client is refused": ("token", respond(401, b'{"error": "invalid_client"}'), "OIDC_CLIENT_SECRET"),
}


@pytest.mark.parametrize(("path", "answer", "said"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_provider_that_fails_is_named_with_what_it_did(
    browser: Browser, provider: IdentityProvider, path: str, answer: Any, said: str
) -> None:
    provider.broken[path] = answer
    if path.startswith("."):
        failed = await browser.get("/sign-in/start")
    else:
        failed = await sign_in(browser)
    assert failed.status_code == 502
    assert "Signing in with Example Login failed" in failed.text
    assert said in failed.text
    assert 'name="key"' in failed.text, "an API key still signs in"
    del provider.broken[path]
    assert leads_to(await sign_in(browser)) == "/", "nothing of the failure is kept"


async def test_a_document_that_names_another_issuer_is_not_used(browser: Browser, provider: IdentityProvider) -> None:
    provider.document = {"issuer": "https://elsewhere.example.com"}
    failed = await browser.get("/sign-in/start")
    assert (failed.status_code, "see OIDC_ISSUER" in failed.text) == (502, True)


async def test_a_provider_that_takes_its_client_in_the_form_alone(browser: Browser, provider: IdentityProvider) -> None:
    provider.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert leads_to(await sign_in(browser)) == "/"
    [asked] = provider.asked("token")
    assert "authorization" not in asked.headers


async def test_an_address_that_asks_too_often_waits(browser: Browser) -> None:
    back = await go_there(browser)
    async with Browser(browser.app) as other:
        for _ in range(60):
            state = parse_qs(urlsplit((await other.get("/sign-in/start")).headers["location"]).query)["state"][0]
            assert (await other.get("/sign-in/callback", params={"state": state})).status_code == 403
    assert (await browser.get(back)).status_code == 429
    browser.app.state.limiter = Limiter(get_settings())
    assert leads_to(await browser.get(back)) == "/", "a minute later the same sign-in is finished"


def test_the_doctor_says_whether_people_can_sign_in(
    database: str, provider: IdentityProvider, settings: Settings
) -> None:
    def told() -> Finding:
        [found] = [each for each in doctor.examine(settings, utc_now) if each.subject == "sign-in provider"]
        return found

    assert (told().result, CALLBACK in told().detail) == ("ok", True)
    provider.published = []
    assert (told().result, "none that signs" in told().detail) == ("wrong", True)
