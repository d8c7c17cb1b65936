"""Settings: what each accepts, and the one line that says what is wrong."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from app.config import Settings, get_settings
from app.errors import ConfigError
from tests.conftest import forget

SID = "AC" + "0" * 32
CANARY = "canary-that-nobody-may-see"


def read(environment: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        environment.setenv(name, value)
    forget()
    return get_settings()


def refusal(environment: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(environment, **values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_defaults_are_those_of_the_contract(settings: Settings) -> None:
    assert settings.poll_interval_seconds == 300
    assert settings.initial_backfill_hours == 24
    assert settings.settle_hours == 72
    assert settings.twilio_max_requests_per_minute == 120
    assert settings.evaluate_interval_seconds == 30
    assert settings.delivery_retry_seconds == (5, 30, 120, 600, 1800, 7200, 21600)
    assert settings.webhook_timeout_seconds == 15
    assert settings.webhook_allowed_networks == ()
    assert (settings.smtp_port, settings.smtp_security) == (587, "starttls")
    assert settings.public_base_url == "http://localhost:8000"
    assert settings.notify_max_age_hours == 24
    assert settings.retention_days == 90
    assert settings.store_message_bodies is True
    assert settings.mask_numbers is False
    assert settings.twilio_include_subaccounts is False
    assert settings.log_level == "INFO"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("POLL_INTERVAL_SECONDS", "0", "greater than or equal to 1"),
        ("POLL_INTERVAL_SECONDS", "soon", "a whole number"),
        ("POLL_INTERVAL_SECONDS", "1.5", "a whole number"),
        ("SETTLE_HOURS", "-1", "greater than or equal to 1"),
        ("DELIVERY_RETRY_SECONDS", "5,x", "whole seconds separated by commas"),
        ("DELIVERY_RETRY_SECONDS", "5,-1", "whole seconds separated by commas"),
        ("DELIVERY_RETRY_SECONDS", "5,,6", "whole seconds separated by commas"),
        ("DELIVERY_RETRY_SECONDS", "²", "whole seconds separated by commas"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8", "networks separated by commas"),
        ("WEBHOOK_ALLOWED_NETWORKS", "intranet", "networks separated by commas"),
        ("PUBLIC_BASE_URL", "monitor.example.com", "https://monitor.example.com"),
        ("PUBLIC_BASE_URL", "https://monitor.example.com/?a=b", "without ?"),
        ("PUBLIC_BASE_URL", "https://monitor.example.com:99999", "https://monitor.example.com"),
        ("TWILIO_API_BASE_URL", "ftp://api.twilio.com", "https://"),
        ("HEARTBEAT_URL", "never", "https://"),
        ("DATABASE_URL", "mysql://root@host/db", "postgresql://"),
        ("DATABASE_URL", "postgresql://user:pw@host:port/name", "postgresql://"),
        ("REDIS_URL", "http://localhost", "redis://"),
        ("REDIS_URL", "redis://h/abc", "such as /0"),
        ("REDIS_URL", "redis://h/0/", "such as /0"),
        ("REDIS_URL", "redis://h/0?socket_timeout=5", "remove socket_timeout"),
        ("REDIS_URL", "redis://h/0?db=2", "remove db"),
        ("REDIS_URL", "redis://h/0?protocol=3", "remove protocol"),
        ("REDIS_URL", "rediss://h/0?ssl_min_version=3", "remove ssl_min_version"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=maybe", "required, optional, none"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=", "required, optional, none"),
        ("REDIS_URL", "rediss://h/0?ssl_ca_certs=/nonexistent/ca.pem", "wrong ssl_ca_certs"),
        ("API_KEY", "short", "16 characters"),
        ("API_KEY", "sixteen characters ü", "ASCII"),
        ("SECRET_KEY", "long-enough-to-be-used,short", "16 characters"),
        ("SMTP_SECURITY", "ssl", "'starttls'"),
        ("SMTP_PORT", "0", "greater than or equal to 1"),
        *(
            ("SMTP_FROM", value, "must be one mail address, such as GiftPulse <alerts@example.com>")
            for value in (
                "nobody",
                "alerts@exa_mple.com",
                "alerts@example..com",
                "alerts@10.0.0.1",
                "ärger@example.com",
                "a@b.example, c@d.example",
                "Smith, John <a@b.example>",
                "Alerts\t<alerts@example.com>",
            )
        ),
        ("STORE_MESSAGE_BODIES", "maybe", "true or false"),
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("LOG_FORMAT", "xml", "'json'"),
        ("TWILIO_ACCOUNT_SID", "SK" + "0" * 32, "must be AC and 32"),
        ("TWILIO_API_KEY_SID", SID, "must be SK and 32"),
        ("OIDC_ISSUER", "login.example.com", "https://"),
        ("OIDC_ISSUER", "http://login.example.com", "must begin with https://"),
        ("OIDC_ISSUER", "https://login.example.com/?tenant=1", "without ?"),
        ("OIDC_ISSUER", "https://me:pw@login.example.com", "without ?, # and @"),
        ("PASSWORDLESS_ONLY", "maybe", "true or false"),
    ],
)
def test_an_invalid_setting_is_named_with_what_is_wanted(
    environment: pytest.MonkeyPatch, name: str, value: str, wanted: str
) -> None:
    message = refusal(environment, **{name: value})
    assert name in message
    assert wanted in message


PROVIDER = {
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_CLIENT_ID": "giftpulse",
    "OIDC_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"TWILIO_ACCOUNT_SID": SID}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_AUTH_TOKEN": "x" * 32}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_API_KEY_SID": "SK" + "0" * 32}, "TWILIO_API_KEY_SECRET"),
        ({"SMTP_HOST": "mail.example.com"}, "SMTP_FROM"),
        ({"SMTP_USER": "me"}, "SMTP_PASSWORD"),
        ({"OIDC_ISSUER": "https://login.example.com"}, "OIDC_CLIENT_SECRET"),
        ({"OIDC_CLIENT_SECRET": "secret"}, "OIDC_ISSUER"),
        (PROVIDER, "OIDC_ADMIN_GROUPS"),
        (PROVIDER | {"OIDC_READ_GROUPS": " , "}, "OIDC_ADMIN_GROUPS"),
        ({"PASSWORDLESS_ONLY": "true"}, "OIDC_ISSUER"),
        (
            {
                "SMTP_HOST": "mail.example.com",
                "SMTP_FROM": "a@b.c",
                "SMTP_USER": "me",
                "SMTP_PASSWORD": "pw",
                "SMTP_SECURITY": "none",
            },
            "SMTP_SECURITY",
        ),
    ],
)
def test_settings_that_belong_together_are_asked_for_together(
    environment: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    assert named in refusal(environment, **values)


def test_groups_are_taken_as_the_provider_writes_them(environment: pytest.MonkeyPatch) -> None:
    settings = read(environment, **PROVIDER, OIDC_ADMIN_GROUPS="/Platform Team, ops ,,", OIDC_READ_GROUPS="*")
    assert settings.oidc_admin_groups == ("/Platform Team", "ops")
    assert settings.oidc_read_groups == ("*",)


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_no_refusal_shows_a_value(environment: pytest.MonkeyPatch, name: str) -> None:
    said = ""
    try:
        read(environment, **{name: CANARY})
    except ConfigError as error:
        said = str(error)
    assert CANARY not in said


def test_printing_the_settings_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    settings = read(
        environment,
        TWILIO_ACCOUNT_SID=SID,
        TWILIO_AUTH_TOKEN=CANARY,
        TWILIO_API_KEY_SID="SK" + "0" * 32,
        TWILIO_API_KEY_SECRET=CANARY,
        API_KEY=CANARY,
        SECRET_KEY=CANARY,
        SMTP_USER="me",
        SMTP_PASSWORD=CANARY,
        DATABASE_URL=f"postgresql://u:{CANARY}@h/d",
        REDIS_URL=f"redis://:{CANARY}@h/0",
        HEARTBEAT_URL=f"https://example.com/{CANARY}",
    )
    assert CANARY not in repr(settings)
    assert CANARY not in settings.model_dump_json()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_the_database_address_of_hosting_providers_is_understood(environment: pytest.MonkeyPatch, scheme: str) -> None:
    settings = read(environment, DATABASE_URL=f"{scheme}://u:p%40ss@h:5432/d?sslmode=require")
    assert settings.database_parameters == {
        "user": "u",
        "password": "p@ss",
        "host": "h",
        "port": "5432",
        "dbname": "d",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        ("postgresql://u@h1:5433,h2/d", {"user": "u", "host": "h1,h2", "port": "5433,", "dbname": "d"}),
        ("postgres://h/d?options=-csearch_path%3Dmine", {"host": "h", "dbname": "d", "options": "-csearch_path=mine"}),
        ("postgresql:///d?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "d"}),
        ("postgresql://[::1]/d?sslmode=verify-full", {"host": "::1", "dbname": "d", "sslmode": "verify-full"}),
    ],
)
def test_the_database_address_is_read_as_postgresql_does(
    environment: pytest.MonkeyPatch, url: str, parameters: dict[str, str]
) -> None:
    assert read(environment, DATABASE_URL=url).database_parameters == parameters


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("pgbouncer=true", "remove pgbouncer"), ("sslmode=no-verify", "verify-full"), ("port=x", "postgresql://")],
)
def test_an_invalid_parameter_of_the_database_address_is_named(
    environment: pytest.MonkeyPatch, query: str, wanted: str
) -> None:
    message = refusal(environment, DATABASE_URL=f"postgresql://u:{CANARY}@h/d?{query}")
    assert message.startswith("DATABASE_URL ")
    assert wanted in message
    assert CANARY not in message


def test_the_password_of_the_broker_stands_in_where_its_address_has_none(environment: pytest.MonkeyPatch) -> None:
    settings = read(environment, REDIS_URL="redis://redis:6379/0", REDIS_PASSWORD="p@ss/#word")
    assert settings.broker_url == "redis://:p%40ss%2F%23word@redis:6379/0"
    settings = read(environment, REDIS_URL="redis://user@redis/0")
    assert settings.broker_url == "redis://user:p%40ss%2F%23word@redis/0"
    settings = read(environment, REDIS_URL="redis://:own@redis/0")
    assert settings.broker_url == "redis://:own@redis/0"


def test_lists_are_read_by_commas(environment: pytest.MonkeyPatch) -> None:
    settings = read(
        environment,
        DELIVERY_RETRY_SECONDS=" 1, 2 ",
        WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8, fd00::/8,",
        SECRET_KEY="the-first-key-of-all, the-second-key-of-all",
    )
    assert settings.delivery_retry_seconds == (1, 2)
    assert settings.webhook_allowed_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.secret_keys == ("the-first-key-of-all", "the-second-key-of-all")


def test_an_empty_value_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    assert read(environment, POLL_INTERVAL_SECONDS="", SMTP_HOST="").poll_interval_seconds == 300


def test_words_may_be_written_in_any_case(environment: pytest.MonkeyPatch) -> None:
    settings = read(environment, LOG_LEVEL="debug", LOG_FORMAT="CONSOLE", SMTP_SECURITY="TLS")
    assert (settings.log_level, settings.log_format, settings.smtp_security) == ("DEBUG", "console", "tls")


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "API_KEY", "SECRET_KEY"])
def test_a_setting_that_is_needed_and_missing_is_asked_for_by_its_name(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.delenv(name)
    settings = read(environment)
    needed = {
        "DATABASE_URL": "database_parameters",
        "REDIS_URL": "broker_url",
        "API_KEY": "bootstrap_key",
        "SECRET_KEY": "secret_keys",
    }
    with pytest.raises(ConfigError, match=name):
        getattr(settings, needed[name])


def test_a_file_that_is_no_text_is_an_error_in_one_line(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\xff\xfe\x00")
    environment.setattr(Settings, "env_file", tmp_path / "broken")
    assert ".env" in refusal(environment)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"HTTPS_PROXY": "socks5://proxy:1080"}, "HTTPS_PROXY must be the address of an HTTP proxy"),
        ({"https_proxy": "http://proxy:99999"}, "HTTPS_PROXY must be"),
        ({"ALL_PROXY": "socks5://proxy:1080"}, "ALL_PROXY must be"),
        ({"WEBHOOK_PROXY": "canary"}, ""),
        ({"WEBHOOK_PROXY": "ftp://canary"}, "WEBHOOK_PROXY must be"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "fd00::/129"}, "NO_PROXY must be"),
    ],
)
def test_the_proxies_of_the_environment_are_judged_at_the_start(
    environment: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    if not named:
        assert read(environment, **values).outgoing_proxy.address == "http://canary"
        return
    message = refusal(environment, **values)
    assert named in message
    assert "canary" not in message


def test_a_proxy_of_other_programs_is_no_matter_where_it_is_not_used(environment: pytest.MonkeyPatch) -> None:
    settings = read(environment, HTTPS_PROXY="http://proxy:3128", ALL_PROXY="socks5://proxy:1080", NO_PROXY="fd00::/8")
    assert settings.twilio_proxy.for_url("https://api.twilio.com/") == "http://proxy:3128"
    assert settings.twilio_proxy.for_url("https://[fd00::1]/") is None
    assert settings.outgoing_proxy.for_url("https://hooks.example.com/") is None
    environment.delenv("HTTPS_PROXY")
    environment.delenv("ALL_PROXY")
    assert read(environment, NO_PROXY="<local>").twilio_proxy.address is None


def test_the_proxy_for_everything_serves_where_there_is_no_other(environment: pytest.MonkeyPatch) -> None:
    assert read(environment, ALL_PROXY="proxy:3128").twilio_proxy.address == "http://proxy:3128"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:pa@canary@h:5432/d"),
        ("DATABASE_URL", "postgresql://u:12#canary@h:5432/d"),
        ("DATABASE_URL", "postgresql://u:12/canary@h:5432/d"),
        ("DATABASE_URL", "postgresql://u:12?canary@h:5432/d"),
        ("DATABASE_URL", "postgresql://u:[canary@h:5432/d"),
        ("REDIS_URL", "redis://:12#canary@h:6379/0"),
        ("REDIS_URL", "redis://:12/canary@h:6379/0"),
        ("REDIS_URL", "redis://:pa@canary@h:6379/0"),
        ("REDIS_URL", "redis://pa?canary@h/0"),
        ("REDIS_URL", "redis://h/canary"),
        ("HEARTBEAT_URL", "https://u:12#canary@h/"),
    ],
)
def test_a_password_that_breaks_its_address_is_refused_and_shown_nowhere(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    message = refusal(environment, **{name: value})
    assert name in message
    assert "canary" not in message
