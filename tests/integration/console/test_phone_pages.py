"""Signing a phone in by a code that is good once, and parts that a key hides."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app.database import session_scope
from app.enums import Scope
from app.models import SignInToken
from tests.conftest import forget
from tests.integration.api.conftest import Api, make_app
from tests.integration.console.conftest import Browser, leads_to


async def make_code(browser: Browser) -> str:
    """Make a code; return the path and query of its address."""
    page = (await browser.submit("/phone")).text
    assert '<svg class="qr"' in page
    found = re.search(r'id="address">([^<]+)<', page)
    assert found is not None
    parts = urlsplit(unescape(found[1]))
    return f"{parts.path}?{parts.query}"


async def use(phone: Browser, address: str) -> int:
    """Open the address and press its button; return the status of the answer."""
    page = (await phone.get(address)).text
    code = re.search(r'name="code" value="([^"]+)"', page)
    assert code is not None
    return (await phone.post("/sign-in/phone", data={"code": code[1]})).status_code


async def test_a_code_signs_a_phone_in_once_with_the_same_name_and_scope(browser: Browser, api: Api) -> None:
    await browser.sign_in(await api.key(Scope.READ))
    address = await make_code(browser)
    async with Browser(browser.app) as phone, Browser(browser.app) as thief:
        assert await use(phone, address) == 303
        page = (await phone.get("/settings")).text
        assert "Maria" in page
        assert (await phone.get("/keys")).status_code == 403
        assert await use(thief, address) == 401
        assert leads_to(await thief.get("/")) == "/sign-in"


async def test_looking_at_the_address_does_not_use_the_code_up(browser: Browser) -> None:
    await browser.sign_in()
    address = await make_code(browser)
    async with Browser(browser.app) as scanner, Browser(browser.app) as phone:
        await scanner.get(address)
        await scanner.get(address)
        assert await use(phone, address) == 303


async def test_a_code_is_too_old_after_five_minutes(browser: Browser) -> None:
    await browser.sign_in()
    address = await make_code(browser)
    with session_scope() as session:
        session.execute(update(SignInToken).values(expires_at=SignInToken.expires_at - timedelta(minutes=5)))
    async with Browser(browser.app) as phone:
        assert await use(phone, address) == 401
    await make_code(browser)
    with session_scope() as session:
        assert len(session.scalars(select(SignInToken)).all()) == 1


async def test_only_a_hash_is_stored(browser: Browser) -> None:
    await browser.sign_in()
    code = (await make_code(browser)).partition("code=")[2]
    with session_scope() as session:
        [stored] = session.scalars(select(SignInToken))
        assert code not in (stored.token_hash, stored.key_id, stored.key_mark, stored.name)


async def test_a_revoked_key_ends_the_phones_session(browser: Browser, api: Api) -> None:
    await browser.sign_in(await api.key(Scope.WRITE))
    address = await make_code(browser)
    async with Browser(browser.app) as phone:
        await use(phone, address)
        assert (await phone.get("/")).status_code == 200
        key_id = (await api.get("/api/keys")).json()["items"][0]["id"]
        await api.delete(f"/api/keys/{key_id}")
        assert leads_to(await phone.get("/")) == "/sign-in"


async def test_another_site_cannot_sign_a_phone_in(browser: Browser) -> None:
    await browser.sign_in()
    address = await make_code(browser)
    code = address.partition("code=")[2]
    async with Browser(browser.app) as phone:
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await phone.post("/sign-in/phone", data={"code": code}, headers=headers)).status_code == 403
        assert leads_to(await phone.get("/")) == "/sign-in"


async def test_an_address_without_a_code_says_what_to_do(browser: Browser) -> None:
    page = (await browser.get("/sign-in/phone")).text
    assert "Make another one" in page
    assert 'action="/sign-in/phone"' not in page


async def test_the_set_up_card_is_hidden_for_the_key_that_hid_it(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    assert 'id="first-steps"' in (await browser.get("/")).text
    assert leads_to(await browser.submit("/set-up/hide")) == "/"
    assert 'action="/set-up/show"' in (await browser.get("/")).text
    assert 'id="first-steps"' not in (await browser.get("/")).text
    async with Browser(browser.app) as other:
        await other.sign_in(await api.key(Scope.READ))
        assert 'id="first-steps"' in (await other.get("/")).text
    await browser.submit("/set-up/show")
    assert 'id="first-steps"' in (await browser.get("/")).text


async def test_the_style_sheet_is_there_in_development_only(browser: Browser, environment: pytest.MonkeyPatch) -> None:
    await browser.sign_in()
    assert (await browser.get("/kit")).status_code == 404
    environment.setenv("TWILIO_API_BASE_URL", "http://127.0.0.1:9000")
    forget()
    async with Browser(make_app()) as developer:
        await developer.sign_in()
        page = await developer.get("/kit")
        assert page.status_code == 200
        assert "<script>alert(1)" not in page.text
