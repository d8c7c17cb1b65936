"""The settings in effect, through the API."""

from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.enums import Scope
from tests.conftest import forget
from tests.integration.api.conftest import Api, make_app

SECRET = "a token that nobody may see"


async def settings_of(api: Api) -> dict[str, dict[str, Any]]:
    answer = await api.get("/api/settings")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["items"]}


async def test_settings_are_listed_with_their_origin(api: Api, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env, token = tmp_path / ".env", tmp_path / "token"
    env.write_text("MASK_NUMBERS=true\n")
    token.write_text(SECRET)
    environment.setattr(Settings, "env_file", env)
    environment.setenv("RETENTION_DAYS", "30")
    environment.setenv("DELIVERY_RETRY_SECONDS", "5,30")
    environment.setenv("TWILIO_ACCOUNT_SID", "AC" + "1" * 32)
    environment.setenv("TWILIO_AUTH_TOKEN_FILE", str(token))
    environment.delenv("TWILIO_AUTH_TOKEN", raising=False)
    forget()
    async with Api(make_app()) as other:
        found = await settings_of(other)
        assert SECRET not in (await other.get("/api/settings")).text
    shown = {name: (each["value"], each["is_secret"], each["is_set"], each["origin"]) for name, each in found.items()}
    assert list(shown) == sorted(name.upper() for name in Settings.model_fields)
    assert shown["RETENTION_DAYS"] == ("30", False, True, "environment")
    assert shown["DELIVERY_RETRY_SECONDS"] == ("5, 30", False, True, "environment")
    assert shown["MASK_NUMBERS"] == ("true", False, True, ".env")
    assert shown["TWILIO_AUTH_TOKEN"] == (None, True, True, "TWILIO_AUTH_TOKEN_FILE")
    assert shown["SMTP_PASSWORD"] == (None, True, False, None)
    assert shown["WEBHOOK_ALLOWED_NETWORKS"] == (None, False, False, None)
    assert shown["SETTLE_HOURS"] == ("72", False, True, None)


async def test_no_setting_shows_a_secret(api: Api) -> None:
    found = await settings_of(api)
    assert {name: each["value"] for name, each in found.items() if each["is_secret"] and each["value"]} == {}
    for name in ("API_KEY", "SECRET_KEY", "DATABASE_URL", "REDIS_URL", "HEARTBEAT_URL", "WEBHOOK_PROXY"):
        assert found[name]["is_secret"], name


async def test_whoever_may_see_the_page_may_read_settings(api: Api) -> None:
    async with Api(api.app, await api.key(Scope.READ)) as reader:
        assert (await reader.get("/api/settings")).status_code == 200
    async with Api(api.app, key=None) as nobody:
        assert (await nobody.get("/api/settings")).status_code == 401
    assert (await api.get("/api/settings?name=x")).status_code == 422
