"""Every setting is documented where an operator looks for it."""

import re
from pathlib import Path

import pytest

from app.config import Settings

ROOT = Path(__file__).parent.parent.parent
NAMES = {name.upper() for name in Settings.model_fields}
COMPOSE_ONLY = {"POSTGRES_PASSWORD"}


def _example() -> dict[str, str]:
    """Read `.env.example`, commented lines and all."""
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(lines) == len({name for name, _ in lines}), "a setting stands there twice"
    return dict(lines)


def test_the_example_has_every_setting_and_no_other() -> None:
    assert set(_example()) - COMPOSE_ONLY == NAMES


def test_the_readme_has_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {name for name in NAMES if f"`{name}`" not in readme} == set()


def test_the_example_shows_the_defaults(environment: pytest.MonkeyPatch) -> None:
    told = {"API_KEY", "SECRET_KEY", "SMTP_FROM", "DATABASE_URL", "REDIS_URL", "LIVENESS_PATH"}
    told |= {"TWILIO_ACCOUNT_SID", "TWILIO_API_KEY_SID"}
    for name in NAMES:
        environment.delenv(name, raising=False)
    plain = Settings()
    for name, value in _example().items():
        if name in told | COMPOSE_ONLY or not value:
            continue
        environment.setenv(name, value)
        assert getattr(Settings(), name.lower()) == getattr(plain, name.lower()), name


def test_a_copy_of_the_example_with_both_keys_is_a_working_env_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / ".env.example").read_text()
    text = text.replace("\nAPI_KEY=\n", "\nAPI_KEY=sixteen-characters-or-more\n")
    text = text.replace("\nSECRET_KEY=\n", "\nSECRET_KEY=sixteen-characters-or-more\n")
    (tmp_path / ".env").write_text(text)
    for name in NAMES:
        environment.delenv(name, raising=False)
    environment.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert Settings().bootstrap_key == "sixteen-characters-or-more"
