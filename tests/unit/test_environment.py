"""Where settings come from: the environment, `.env`, and the files that they name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import config, environment
from app.config import Settings, get_settings
from app.errors import ConfigError
from tests.conftest import forget

NAMES = ("API_KEY", "SMTP_PASSWORD", "SMTP_SECURITY", "POLL_INTERVAL_SECONDS", "TWILIO_AUTH_TOKEN", "HTTPS_PROXY")
SECRET = ("API_KEY", "SMTP_PASSWORD", "TWILIO_AUTH_TOKEN")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def read(file: Path, text: str, **environ: str) -> environment.Given:
    file.write_text(text)
    file.chmod(0o600)
    return environment.read(NAMES, SECRET, file, environ)


def test_the_environment_wins_over_the_file_and_empty_counts_as_not_set(file: Path) -> None:
    found = read(file, "API_KEY=file\nSMTP_PASSWORD=file\nSMTP_SECURITY=\n", API_KEY="environment", SMTP_PASSWORD="")
    assert found.values == {"API_KEY": "environment", "SMTP_PASSWORD": "file"}
    assert found.origins == {"API_KEY": "environment", "SMTP_PASSWORD": ".env"}


def test_names_may_be_written_in_any_case(file: Path) -> None:
    assert read(file, "", https_proxy="http://p").values == {"HTTPS_PROXY": "http://p"}
    assert read(file, "", https_proxy="http://p", HTTPS_PROXY="http://q").values == {"HTTPS_PROXY": "http://q"}


def test_a_mark_of_byte_order_at_the_beginning_hides_no_setting(file: Path) -> None:
    assert read(file, "\ufeffAPI_KEY=a\n").values == {"API_KEY": "a"}


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="'\\"), min_size=1))
def test_values_in_single_quotes_are_literal(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    found = read(tmp_path_factory.mktemp("env") / ".env", f"API_KEY='{value}'  # a comment\n")
    assert (found.values, found.remarks) == ({"API_KEY": value}, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SMTP_PASSWORD=secret #1", "line 1: SMTP_PASSWORD ends before its #"),
        ("# a comment\n\nSMTP_PASSWORD=#1", "line 3: SMTP_PASSWORD ends before its #"),
        ("TWILIO_AUTH_TOKEN=a$b", "TWILIO_AUTH_TOKEN contains $"),
        ('TWILIO_AUTH_TOKEN="a${HOME}b"', "TWILIO_AUTH_TOKEN contains $"),
        ("SMTP_SECURTY=none", "did you mean SMTP_SECURITY?"),
        ("SMTP_PASWORD_FILE=x", "did you mean SMTP_PASSWORD_FILE?"),
        ("TWILIO_REGION=ie1", "TWILIO_REGION is not a setting and is ignored"),
        ("API_KEY=a\nAPI_KEY=b", "line 2: API_KEY is also set in line 1"),
    ],
)
def test_values_read_differently_than_they_look_are_reported(file: Path, text: str, said: str) -> None:
    [remark] = read(file, text + "\n").remarks
    assert said in remark
    assert "secret" not in remark


@pytest.mark.parametrize(
    "text",
    [
        "POLL_INTERVAL_SECONDS=300 # five minutes",
        "SMTP_PASSWORD=a#b",
        "SMTP_PASSWORD='a #b $c'",
        "GIFTPULSE_HOOK_TOKEN=x",
        "COMPOSE_PROJECT_NAME=x",
        "EDITOR=vi",
    ],
)
def test_literal_values_cause_no_remark(file: Path, text: str) -> None:
    assert read(file, text + "\n").remarks == ()


def test_a_misspelled_name_in_the_environment_is_said_and_others_names_are_not(file: Path) -> None:
    found = read(file, "", SMTP_SECURTY="none", TWILIO_PHONE_NUMBER="x", PATH="/bin", GIFTPULSE_API_KEY="x")
    assert [("SMTP_SECURTY" in remark, "SMTP_SECURITY?" in remark) for remark in found.remarks] == [(True, True)]


def test_a_dollar_is_no_variable(file: Path) -> None:
    assert read(file, 'API_KEY=a${HOME}$b\nSMTP_PASSWORD="${HOME}"\n').values == {
        "API_KEY": "a${HOME}$b",
        "SMTP_PASSWORD": "${HOME}",
    }


def test_an_unreadable_line_is_named_without_its_value(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.env cannot be read in line 2: ") as caught:
        read(file, "API_KEY=a\nSMTP_PASSWORD='canary\n")
    assert "canary" not in str(caught.value)


def test_a_file_that_everybody_can_read_is_said(file: Path) -> None:
    read(file, "API_KEY=a\n")
    file.chmod(0o644)
    [remark] = environment.read(NAMES, SECRET, file, {}).remarks
    assert "chmod 600" in remark


def test_a_setting_may_be_read_from_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the key #1 $x \r\n")
    assert read(file, "", API_KEY_FILE=str(tmp_path / "key")).values == {"API_KEY": "the key #1 $x "}
    assert read(file, f"API_KEY_FILE={tmp_path / 'key'}\n").values == {"API_KEY": "the key #1 $x "}


@pytest.mark.parametrize("text", ["", "API_KEY=file\n"])
def test_a_setting_and_its_file_are_refused_together(file: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    environ = {"API_KEY_FILE": str(tmp_path / "key")} | ({} if text else {"API_KEY": "y"})
    with pytest.raises(ConfigError, match="API_KEY and API_KEY_FILE are both set"):
        read(file, text, **environ)


@pytest.mark.parametrize(("name", "said"), [("missing", "No such file"), ("", "directory"), ("empty", "empty")])
def test_a_file_of_a_setting_that_cannot_be_read_is_reported_in_one_line(
    file: Path, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=said) as caught:
        read(file, "", API_KEY_FILE=str(tmp_path / name))
    assert "API_KEY_FILE" in str(caught.value)


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_may_be_read_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "value").write_text("canary\n")
    environment.delenv(name, raising=False)
    environment.setenv(f"{name}_FILE", str(tmp_path / "value"))
    assert config._given().values[name] == "canary"


def test_the_product_reads_its_key_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-key-from-a-file-of-its-own\n")
    environment.delenv("API_KEY")
    environment.setenv("API_KEY_FILE", str(tmp_path / "key"))
    forget()
    assert get_settings().bootstrap_key == "a-key-from-a-file-of-its-own"
