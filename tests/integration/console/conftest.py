"""The console over a database of its own, called in this process as a browser calls it."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import API_KEY
from tests.integration.api.conftest import BASE_URL, Api, make_app
from tests.integration.console.statements import cold_caches, warm_caches

__all__ = ["cold_caches", "warm_caches"]
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Browser(httpx.AsyncClient):
    """A browser without script: it keeps cookies, and posts the forms of the page that it looks at."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(transport=httpx.ASGITransport(app=app), base_url=BASE_URL, headers={"Accept": "text/html"})
        self.app = app

    async def sign_in(self, key: str = API_KEY, **fields: Any) -> httpx.Response:
        """Sign in with a key."""
        return await self.post("/sign-in", data={"key": key, "name": "Maria", **fields})

    async def csrf(self, path: str = "/alerts") -> str:
        """Read the CSRF token out of a page."""
        found = CSRF.search((await self.get(path)).text)
        assert found is not None, path
        return found[1]

    async def submit(self, path: str, **fields: Any) -> httpx.Response:
        """Post a form with the token of this session."""
        return await self.post(path, data={"csrf": await self.csrf(), **fields})


def leads_to(answer: httpx.Response) -> str:
    """Where a form or a page without a session leads."""
    assert answer.status_code == 303, answer.text
    return urlsplit(answer.headers["location"]).path


@pytest.fixture
async def browser(database: str) -> AsyncIterator[Browser]:
    """A browser that is not signed in."""
    async with Browser(make_app()) as client:
        yield client


@pytest.fixture
async def api(browser: Browser) -> AsyncIterator[Api]:
    """The API of the same process, called with the administrator's key."""
    async with Api(browser.app) as client:
        yield client
