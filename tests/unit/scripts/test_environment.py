"""What the processes of `scripts/start` are told: the operator's word first."""

import subprocess
from pathlib import Path

import pytest

from app.config import Settings
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
    given = told.given(tmp_path)
    assert given["API_KEY"] == "from-the-environment"
    assert given["LOG_LEVEL"] == "DEBUG"
    assert "SMTP_HOST" not in given


def test_a_shell_reads_what_the_processes_get_beside_the_operators_settings(tmp_path: Path) -> None:
    operators = {"LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    ours = {"DATABASE_URL": "postgresql://a:b@127.0.0.1/c", "SMTP_FROM": "Gift's <pulse@localhost>"}
    file = tmp_path / "settings.env"
    told.write_settings(file, operators | ours, operators)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(line.startswith(("LOG_LEVEL", "PATH")) for line in file.read_text().splitlines())
    show = f'set -a; . "{file}"; printf "%s|%s" "$DATABASE_URL" "$SMTP_FROM"'
    shown = subprocess.run(["/bin/sh", "-c", show], env={}, capture_output=True, text=True, check=True)
    assert shown.stdout == "|".join(ours.values())


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
