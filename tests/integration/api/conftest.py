"""The API over a database of its own, called in this process."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.config import get_settings
from app.enums import Scope
from tests.conftest import API_KEY

BASE_URL = "http://localhost:8000"


def make_app() -> FastAPI:
    """Make the app under the settings of this test."""
    from app.api.main import create_app  # reads the settings at its import, as servers want it

    return create_app(get_settings())


class Api(httpx.AsyncClient):
    """A client of the API that sends the administrator's key."""

    def __init__(self, app: FastAPI, key: str | None = API_KEY, **options: Any) -> None:
        headers = {"X-API-Key": key} if key else {}
        super().__init__(transport=httpx.ASGITransport(app=app, **options), base_url=BASE_URL, headers=headers)
        self.app = app

    async def key(self, scope: Scope) -> str:
        """Make a key of a scope."""
        answer = await self.post("/api/keys", json={"name": f"{scope} of a test", "scope": scope})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The API, called with the administrator's key."""
    async with Api(make_app()) as client:
        yield client


def fields(answer: httpx.Response) -> list[str]:
    """The fields that a refusal names."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json()["errors"]]


RULE: dict[str, Any] = {"name": "Fails", "log_type": "message", "pattern_type": "error_code", "pattern_value": "30003"}
EMAIL: dict[str, Any] = {"action_type": "email", "config": {"recipients": ["ops@example.com"]}}
WEBHOOK: dict[str, Any] = {
    "action_type": "webhook",
    "config": {"url": "https://hooks.example.com/x?token=canary-token"},
}
