"""The first minute: the set-up card, and trouble in the simulator."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import session_scope
from app.enums import Scope
from app.models import PushedRecord, Stream
from app.utils.clock import utc_now
from scripts.twilio_simulator import Simulator, SimulatorServer
from scripts.twilio_simulator.traffic import Traffic
from tests.conftest import forget
from tests.integration.api.conftest import EMAIL, RULE, Api, make_app
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.statements import MAX_STATEMENTS, count_statements
from tests.integration.console.test_pages import make_delivery

SID = "AC" + "1" * 32


def card(page: str) -> str:
    return page.partition('id="first-steps"')[2].partition("</section>")[0]


async def test_the_card_ticks_itself_and_goes_when_all_is_done(
    environment: pytest.MonkeyPatch, browser: Browser, api: Api
) -> None:
    await browser.sign_in()
    shown = card((await browser.get("/")).text)
    assert "0 of 5" in shown
    for words in (
        "No account is watched",
        "No rule is enabled",
        "Nobody is notified",
        "SMTP_HOST is not set",
        "twilio connect",
    ):
        assert words in shown
    await api.post("/api/accounts", json={"sid": SID, "auth_token": "t" * 32})
    await api.post("/api/rules", json=RULE)
    with session_scope() as session:
        for stream in session.scalars(select(Stream)):
            stream.last_success_at = utc_now()
    assert "2 of 5" in card((await browser.get("/")).text)
    make_delivery("succeeded")
    with session_scope() as session:
        account_id = session.scalars(select(Stream.account_id)).first()
        session.add(
            PushedRecord(
                account_id=account_id, log_type="message", sid="SM1", digest=1, fields={}, received_at=utc_now()
            )
        )
    shown = card((await browser.get("/")).text)
    assert "4 of 5" in shown
    assert shown.count('class="done"') == 4
    environment.setenv("SMTP_HOST", "mail.example.com")
    environment.setenv("SMTP_FROM", "alerts@example.com")
    forget()
    async with Browser(make_app()) as later:
        await later.sign_in()
        assert card((await later.get("/")).text) == ""


async def test_a_delivery_that_failed_ticks_nothing(browser: Browser) -> None:
    make_delivery("failed")
    await browser.sign_in()
    assert "Nothing has arrived anywhere yet" in card((await browser.get("/")).text)


@pytest.mark.usefixtures("warm_caches")
async def test_the_overview_costs_few_statements(browser: Browser, api: Api) -> None:
    await api.post("/api/rules", json=RULE)
    await api.post("/api/actions", json=EMAIL)
    await browser.sign_in()
    await browser.get("/")
    with count_statements() as statements:
        await browser.get("/")
    assert len(statements) <= MAX_STATEMENTS, [each[:90] for each in statements]


async def test_without_the_simulator_nobody_can_make_trouble(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "You watch the simulator" not in page
    assert "/simulator/" not in page
    answer = await browser.submit("/simulator/carrier-filtering")
    assert answer.status_code == 409


@pytest.fixture
def simulator(environment: pytest.MonkeyPatch) -> Iterator[Simulator]:
    found = Simulator()
    found.traffic = Traffic(found, found.clock.now(), incidents=())
    with SimulatorServer(found) as server:
        environment.setenv("TWILIO_API_BASE_URL", server.url)
        forget()
        yield found


async def test_trouble_begins_in_the_simulator(simulator: Simulator, database: str) -> None:
    async with Browser(make_app()) as browser:
        await browser.sign_in()
        assert "You watch the simulator" in (await browser.get("/")).text
        assert leads_to(await browser.submit("/simulator/carrier-filtering")) == "/"
        assert "A carrier filters one sender now" in (await browser.get("/")).text
    simulator.clock.advance(timedelta(minutes=30))
    assert any(each.record.get("error_code") == 30007 for each in simulator.emitted())


async def test_a_simulator_that_is_gone_is_said(
    simulator: Simulator, environment: pytest.MonkeyPatch, database: str
) -> None:
    environment.setenv("TWILIO_API_BASE_URL", "http://127.0.0.1:9")
    forget()
    async with Browser(make_app()) as browser:
        await browser.sign_in()
        answer = await browser.submit("/simulator/carrier-filtering")
        assert answer.status_code == 409
        assert "the simulator did not begin it" in answer.text.lower()


async def test_a_key_that_only_reads_makes_no_trouble(simulator: Simulator, database: str) -> None:
    async with Browser(make_app()) as browser:
        async with Api(browser.app) as api:
            await browser.sign_in(await api.key(Scope.READ))
        assert "Make trouble" not in (await browser.get("/")).text
        assert (await browser.submit("/simulator/carrier-filtering")).status_code == 403


async def test_the_frame_of_a_page_is_refreshed_alone(browser: Browser) -> None:
    await browser.sign_in()
    for path in ("/", "/logs", "/settings"):
        part = await browser.get(path, headers={"X-Fragment": "pulse"})
        assert 'id="open-count"' in part.text
        assert "<nav" not in part.text
    assert (await browser.get("/", headers={"X-Fragment": "no-such-part"})).status_code == 404
