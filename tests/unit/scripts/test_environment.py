"""What the processes of `scripts/start` are told: the operator's word first."""

import os
from pathlib import Path

import pytest

from app.config import Settings
from app.environment import join_local, local_settings
from scripts.local import environment as told

ACCOUNT = ("AC" + "0" * 32, "token")


def test_without_credentials_the_simulator_is_watched() -> None:
    assert told.watches_simulator({})
    assert told.watches_simulator({"SMTP_HOST": "mail.example.com"})


@pytest.mark.parametrize("name", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID"])
def test_any_credential_means_the_real_account(name: str) -> None:
    assert not told.watches_simulator({name: "something"})


def test_the_demo_leaves_what_the_operator_set() -> None:
    settings = {
        "SMTP_HOST": "mail.example.com",
        "POLL_INTERVAL_SECONDS": "60",
        "WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8",
    }
    env = told.demo_settings(settings, ACCOUNT, "http://127.0.0.1:9", 2525)
    assert env["SMTP_HOST"] == "mail.example.com"
    assert env["POLL_INTERVAL_SECONDS"] == "60"
    assert env["WEBHOOK_ALLOWED_NETWORKS"] == "10.0.0.0/8,127.0.0.0/8"
    assert env["TWILIO_API_BASE_URL"] == env["TWILIO_MONITOR_BASE_URL"] == "http://127.0.0.1:9"


def test_the_demo_names_only_settings_that_there_are() -> None:
    env = told.demo_settings({}, ACCOUNT, "http://127.0.0.1:9", 2525)
    assert {name.lower() for name in env} <= set(Settings.model_fields)


def test_secrets_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = told.kept_secrets(tmp_path / "secrets.env")
    assert set(first) == set(told.GENERATED)
    assert told.kept_secrets(tmp_path / "secrets.env") == first
    assert (tmp_path / "secrets.env").stat().st_mode & 0o777 == 0o600


def test_the_environment_wins_over_the_file_and_empty_counts_as_not_set(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("API_KEY=from-the-file\nSMTP_HOST=\nLOG_LEVEL=DEBUG\n")
    environment.setenv("API_KEY", "from-the-environment")
    environment.setenv("LOG_LEVEL", "")
    given = told.given(tmp_path, tmp_path / "settings.json")
    assert given["API_KEY"] == "from-the-environment"
    assert given["LOG_LEVEL"] == "DEBUG"
    assert "SMTP_HOST" not in given


def test_the_command_line_takes_over_what_the_processes_get_beside_the_operators_settings(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    operators = {"LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    ours = {"DATABASE_URL": "postgresql://a:b@127.0.0.1/c", "SMTP_FROM": "Gift's <pulse@localhost>"}
    file = tmp_path / "settings.json"
    told.write_settings(file, operators | ours, operators)
    assert file.stat().st_mode & 0o777 == 0o600
    assert local_settings(file) == ours
    environment.delenv("DATABASE_URL")
    environment.setenv("SMTP_FROM", "me@example.com")
    assert join_local(tmp_path) == {"DATABASE_URL"}
    assert (os.environ["DATABASE_URL"], os.environ["SMTP_FROM"]) == (ours["DATABASE_URL"], "me@example.com")
    assert join_local(tmp_path / "nowhere") == set()


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_URL_FILE"])
def test_a_database_that_dotenv_names_is_not_replaced_by_that_of_an_earlier_start(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for each in ("DATABASE_URL", "REDIS_URL", "SMTP_HOST", "API_KEY", "SECRET_KEY"):
        environment.delenv(each, raising=False)
    keys = {"API_KEY": "a" * 20, "SECRET_KEY": "b" * 20}
    told.write_settings(tmp_path / "settings.json", {"DATABASE_URL": "postgresql://a@127.0.0.1/c", **keys}, {})
    file = tmp_path / ".env"
    file.write_text(f"{name}=elsewhere\nSECRET_KEY={'c' * 20}\n")
    assert join_local(tmp_path, file) == {"API_KEY"}
    assert "DATABASE_URL" not in os.environ
    file.write_text("DATABASE_URL=\nLOG_LEVEL=DEBUG\n")
    environment.delenv("API_KEY")
    assert join_local(tmp_path, file) == {"DATABASE_URL", "API_KEY", "SECRET_KEY"}


def test_a_shell_that_took_our_settings_over_says_nothing_of_its_own(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = {
        "DATABASE_URL": "postgresql://a:b@127.0.0.1:8028/giftpulse",
        "REDIS_URL": "redis://:new@127.0.0.1:8029/0",
        "SMTP_FROM": "giftpulse@localhost",
    }
    told.write_settings(tmp_path / "settings.json", ours, {})
    for name, value in (ours | {"REDIS_URL": "redis://:old@127.0.0.1:8029/0", "SMTP_FROM": "me@example.com"}).items():
        environment.setenv(name, value)
    given = told.given(tmp_path, tmp_path / "settings.json")
    assert ("DATABASE_URL" in given, "REDIS_URL" in given, given["SMTP_FROM"]) == (False, False, "me@example.com")


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.json"
    told.write_settings(file, {"A": "1"}, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        told.write_settings(file, {"A": "2"}, {})
    assert local_settings(file) == {"A": "1"}
    assert list(tmp_path.iterdir()) == [file]


def test_a_setting_that_a_file_holds_is_set(tmp_path: Path) -> None:
    assert told.is_given({"API_KEY_FILE": "/run/secrets/key"}, "API_KEY")
    assert not told.watches_simulator({"TWILIO_AUTH_TOKEN_FILE": "/run/secrets/token"})
    env = told.demo_settings({"SMTP_HOST_FILE": "/run/secrets/host"}, ACCOUNT, "http://127.0.0.1:9", 2525)
    assert "SMTP_HOST" not in env


def test_the_file_of_settings_is_kept_from_other_users(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert not told.keep_private(file)
    file.write_text("API_KEY=x\n")
    file.chmod(0o644)
    assert told.keep_private(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not told.keep_private(file)
