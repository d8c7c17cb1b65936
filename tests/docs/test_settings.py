"""Every setting is documented where an operator looks for it."""

import re
from pathlib import Path

import pytest

from app.config import Settings, get_settings, remarks
from app.environment import read_lines
from tests.conftest import forget

ROOT = Path(__file__).parent.parent.parent
NAMES = {name.upper() for name in Settings.model_fields}
COMPOSE_ONLY = {"POSTGRES_PASSWORD"}


def _example(folder: Path) -> dict[str, str]:
    """Read `.env.example`, commented lines and all."""
    text = (ROOT / ".env.example").read_text()
    (folder / "example").write_text(re.sub(r"^#(?=[A-Z][A-Z0-9_]+=)", "", text, flags=re.MULTILINE))
    lines = read_lines(folder / "example")
    assert len(lines) == len({line.name for line in lines}), "a setting stands there twice"
    return {line.name: line.value for line in lines}


def test_the_example_has_every_setting_and_no_other(tmp_path: Path) -> None:
    assert set(_example(tmp_path)) - COMPOSE_ONLY == NAMES


def test_the_readme_has_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {name for name in NAMES if f"`{name}`" not in readme} == set()


def test_the_example_shows_the_defaults(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = {
        "API_KEY",
        "SECRET_KEY",
        "SMTP_FROM",
        "DATABASE_URL",
        "REDIS_URL",
        "LIVENESS_PATH",
        "HTTPS_PROXY",
        "WEBHOOK_PROXY",
    }
    told |= {"TWILIO_ACCOUNT_SID", "TWILIO_API_KEY_SID"}
    for name in NAMES:
        environment.delenv(name, raising=False)
    forget()
    plain = get_settings()
    for name, value in _example(tmp_path).items():
        if name in told | COMPOSE_ONLY or not value:
            continue
        environment.setenv(name, value)
        forget()
        assert getattr(get_settings(), name.lower()) == getattr(plain, name.lower()), name


def test_a_copy_of_the_example_with_both_keys_is_a_working_env_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / ".env.example").read_text()
    text = text.replace("\nAPI_KEY=\n", "\nAPI_KEY=sixteen-characters-or-more\n")
    text = text.replace("\nSECRET_KEY=\n", "\nSECRET_KEY=sixteen-characters-or-more\n")
    (tmp_path / ".env").write_text(text)
    for name in NAMES:
        environment.delenv(name, raising=False)
    environment.setattr(Settings, "env_file", tmp_path / ".env")
    forget()
    assert get_settings().bootstrap_key == "sixteen-characters-or-more"


def test_the_example_of_a_key_is_one_that_is_taken(environment: pytest.MonkeyPatch) -> None:
    [key] = re.findall(r"API_KEY='(\S+)'", (ROOT / ".env.example").read_text())
    environment.setenv("API_KEY", key)
    forget()
    assert get_settings().bootstrap_key == key


def test_every_value_in_the_example_is_read_as_it_looks(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[A-Z][A-Z0-9_]+=)", "", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text)
    (tmp_path / ".env").chmod(0o600)
    environment.setattr(Settings, "env_file", tmp_path / ".env")
    assert remarks() == ()
