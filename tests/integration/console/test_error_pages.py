"""Pages about errors: each says what happened, tells no secret, and leads on."""

import pytest
from structlog.testing import capture_logs

from app.api.console import week
from scripts.local.postgres import Postgres
from tests.integration.api.conftest import Api
from tests.integration.console.conftest import Browser


async def test_an_error_of_ours_is_a_page_with_the_id_of_the_request(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("canary-secret")

    await browser.sign_in()
    monkeypatch.setattr(week, "list_targets", fail)
    with capture_logs() as lines:
        answer = await browser.get("/rules/week", headers={"X-Request-Id": "id-of-the-request"})
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "Go to the overview" in answer.text
    assert f"Request <code>{answer.headers['x-request-id']}</code>" in answer.text
    assert "canary-secret" not in answer.text + str(lines)
    assert [line["error"] for line in lines if line["log_level"] == "error"] == ["RuntimeError"]


async def test_a_database_that_is_away_is_a_page_that_refreshes_itself(
    postgres: Postgres, database: str, browser: Browser
) -> None:
    await browser.sign_in()
    browser.cookies.set("theme", "dark")
    csrf = await browser.csrf()
    name = database.rpartition("/")[2]
    with postgres.maintenance() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    try:
        for path in ("/", "/logs", "/rules/packs"):
            answer = await browser.get(path)
            assert answer.status_code == 503, path
            assert '<meta http-equiv="refresh" content="10">' in answer.text
            assert 'data-theme="dark"' in answer.text
        posted = await browser.post("/silences", data={"csrf": csrf, "rule_id": "every"})
        assert posted.status_code == 503
        assert "reload this page" in posted.text
        assert "http-equiv" not in posted.text, "the address of a form has no page"
    finally:
        with postgres.maintenance() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    assert (await browser.get("/")).status_code == 200


async def test_the_documentation_of_the_api_stays_and_is_linked(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    assert 'href="/docs"' in (await browser.get("/settings")).text
    assert (await api.get("/docs")).status_code == 200


async def test_an_address_without_a_page_leads_on(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.get("/nothing/here")
    assert answer.status_code == 404
    assert 'href="/alerts"' in answer.text
