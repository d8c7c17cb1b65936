"""The settings: read once from the environment or `.env`, validated and frozen. Secrets have secret types."""

import os
import re
import ssl
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app import environment
from app.errors import ConfigError
from app.utils import proxies
from app.utils.addresses import LOOPBACK_HOSTS, Network
from app.utils.mail_addresses import read_sender
from app.utils.proxies import Proxy
from app.utils.setting_urls import DATABASE_FORM, check_broker_url, connection_parameters, web_address

MIN_KEY_LENGTH = 16
MAX_RETRIES = 50


class _Source(PydanticBaseSettingsSource):
    """Reads settings by the rules of `app.environment`: `NAME_FILE` variables, and `$` without expansion."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - the library passes it
        field_name: str,
    ) -> tuple[str | None, str, bool]:
        """Return one setting; `__call__` reads all of them."""
        return _given().values.get(field_name.upper()), field_name, False

    def __call__(self) -> dict[str, str]:
        """Return all settings that are set."""
        return {name.lower(): value for name, value in _given().values.items()}


class Settings(BaseSettings):
    """All settings, with units and defaults. The environment uses the same names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", validate_default=False)
    env_file: ClassVar[Path | None] = Path(".env")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library passes it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read settings from our source instead of the library's."""
        return init_settings, _Source(settings_cls)

    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_api_key_sid: str | None = None
    twilio_api_key_secret: SecretStr | None = None
    twilio_api_base_url: str = "https://api.twilio.com"
    twilio_monitor_base_url: str = "https://monitor.twilio.com"
    twilio_include_subaccounts: bool = False
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    redis_password: SecretStr | None = None
    api_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    poll_interval_seconds: int = Field(300, ge=1, le=86_400)
    initial_backfill_hours: int = Field(24, ge=0, le=24 * 400)
    settle_hours: int = Field(72, ge=1, le=24 * 36)
    twilio_max_requests_per_minute: int = Field(120, ge=1, le=100_000)
    evaluate_interval_seconds: int = Field(30, ge=1, le=3_600)
    delivery_retry_seconds: tuple[int, ...] = (5, 30, 120, 600, 1800, 7200, 21600)
    webhook_timeout_seconds: int = Field(15, ge=1, le=120)
    webhook_allowed_networks: tuple[Network, ...] = ()
    inbox_url: str | None = None
    smtp_host: str | None = None
    smtp_port: int = Field(587, ge=1, le=65_535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: str | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    public_base_url: str = "http://localhost:8000"
    heartbeat_url: SecretStr | None = None
    notify_max_age_hours: int = Field(24, ge=1, le=24 * 365)
    notify_timezone: str = "UTC"
    retention_days: int = Field(90, ge=1, le=3_650)
    store_message_bodies: bool = True
    mask_numbers: bool = False
    https_proxy: SecretStr | None = None
    all_proxy: SecretStr | None = None
    no_proxy: str = ""
    webhook_proxy: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_allowed_origins: tuple[str, ...] = ()
    docs_open: bool = True
    metrics_open: bool = True
    api_requests_per_minute: int = Field(6_000, ge=1, le=10_000_000)
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name: str | None = None
    oidc_groups_claim: str = "groups"
    oidc_read_groups: tuple[str, ...] = ()
    oidc_write_groups: tuple[str, ...] = ()
    oidc_admin_groups: tuple[str, ...] = ()
    passwordless_only: bool = False
    liveness_path: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    ssl_cert_file: str | None = None
    ssl_cert_dir: str | None = None

    @field_validator("twilio_account_sid", "twilio_api_key_sid")
    @classmethod
    def _check_sid(cls, value: str, info: ValidationInfo) -> str:
        prefix = "SK" if info.field_name == "twilio_api_key_sid" else "AC"
        if not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
            raise ValueError(f"must be {prefix} and 32 hexadecimal digits, as Twilio's Console shows it")
        return value

    @field_validator("delivery_retry_seconds", mode="before")
    @classmethod
    def _split_seconds(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        waits = [part.strip() for part in value.split(",")]
        if len(waits) > MAX_RETRIES or not all(re.fullmatch("[0-9]{1,7}", part) for part in waits):
            raise ValueError(
                f"must be whole seconds separated by commas, such as 5,30,120, at most {MAX_RETRIES} of them"
            )
        return tuple(int(part) for part in waits)

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError:
            raise ValueError("must be networks separated by commas, such as 10.0.0.0/8,192.168.1.0/24") from None

    @field_validator("allowed_hosts", "cors_allowed_origins", mode="before")
    @classmethod
    def _split_texts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().lower().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("oidc_read_groups", "oidc_write_groups", "oidc_admin_groups", mode="before")
    @classmethod
    def _split_groups(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        parts = web_address(value)
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("must be an address such as https://login.example.com/realm, without ?, # and @")
        if parts.scheme != "https" and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError("must begin with https://: whoever could change its answers could sign in as anybody")
        if "/.well-known/" in value:
            raise ValueError("must end before /.well-known/")
        return value.rstrip("/")  # with a slash or without, its people are the same

    @field_validator("twilio_api_base_url", "twilio_monitor_base_url", "public_base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        parts = web_address(value)
        if parts.query or parts.fragment:
            raise ValueError("must be an address such as https://monitor.example.com, without ? and #")
        return value.rstrip("/")

    @field_validator("inbox_url")
    @classmethod
    def _check_inbox_url(cls, value: str) -> str:
        web_address(value)
        return value

    @field_validator("heartbeat_url")
    @classmethod
    def _check_heartbeat_url(cls, value: SecretStr) -> SecretStr:
        web_address(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError(DATABASE_FORM)
        connection_parameters(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        check_broker_url(value.get_secret_value())
        return value

    @field_validator("ssl_cert_file")
    @classmethod
    def _check_certificates(cls, value: str) -> str:
        try:
            ssl.create_default_context(cafile=value)
        except OSError:
            raise ValueError("must be the path of a file of certificates in PEM form that this user can read") from None
        return value

    @field_validator("ssl_cert_dir")
    @classmethod
    def _check_folder(cls, value: str) -> str:
        if not Path(value).is_dir():
            raise ValueError("must be the path of a folder of certificates")
        return value

    @field_validator("api_key", "secret_key")
    @classmethod
    def _check_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        text = value.get_secret_value()
        parts = text.split(",") if info.field_name == "secret_key" else [text]
        if any(len(part.strip()) < MIN_KEY_LENGTH for part in parts):
            raise ValueError(f"must have {MIN_KEY_LENGTH} characters or more")
        if not text.isascii() or not text.isprintable():
            raise ValueError("must be made of printable ASCII characters")
        return value

    @field_validator("smtp_from")
    @classmethod
    def _check_from(cls, value: str) -> str:
        try:
            read_sender(value if value.isprintable() else "")
        except ValueError:
            raise ValueError("must be one mail address, such as GiftPulse <alerts@example.com>") from None
        return value

    @field_validator("notify_timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be the name of a time zone, such as Europe/Berlin or UTC") from None
        return value

    @field_validator("log_level", "log_format", "smtp_security", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()

    @field_validator("https_proxy", "webhook_proxy")
    @classmethod
    def _check_proxy(cls, value: SecretStr) -> SecretStr:
        return SecretStr(proxies.check_proxy(value.get_secret_value()))

    @model_validator(mode="after")
    def _check_proxies(self) -> "Settings":
        """Check variables that other programs share only if they are used."""
        if self.all_proxy and not self.https_proxy:
            _named("ALL_PROXY", proxies.check_proxy, self.all_proxy.get_secret_value())
        if self.https_proxy or self.all_proxy or self.webhook_proxy:
            _named("NO_PROXY", proxies.parse_exceptions, self.no_proxy)
        return self

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        if bool(self.twilio_api_key_sid) != bool(self.twilio_api_key_secret):
            raise ValueError("TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET must be set together")
        if self.twilio_account_sid and not (self.twilio_auth_token or self.twilio_api_key_sid):
            raise ValueError(
                "TWILIO_ACCOUNT_SID needs TWILIO_AUTH_TOKEN, or TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET"
            )
        if (self.twilio_auth_token or self.twilio_api_key_sid) and not self.twilio_account_sid:
            raise ValueError(
                "TWILIO_ACCOUNT_SID must be set: the account that the credentials belong to, AC and 32 hex digits"
            )
        if self.smtp_host and not self.smtp_from:
            raise ValueError("SMTP_FROM must be set if SMTP_HOST is: the address that mails come from")
        if bool(self.smtp_user) != bool(self.smtp_password):
            raise ValueError("SMTP_USER and SMTP_PASSWORD must be set together")
        if self.smtp_user and self.smtp_security == "none" and self.smtp_host not in LOOPBACK_HOSTS:
            raise ValueError(
                "SMTP_SECURITY must be starttls or tls if SMTP_PASSWORD is set: none would send it in clear"
            )
        return self

    @model_validator(mode="after")
    def _check_sign_in(self) -> "Settings":
        given = (self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret)
        if any(given) and not all(given):
            raise ValueError("OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET must be set together")
        if self.oidc_issuer and not (self.oidc_read_groups or self.oidc_write_groups or self.oidc_admin_groups):
            raise ValueError(
                "OIDC_READ_GROUPS, OIDC_WRITE_GROUPS or OIDC_ADMIN_GROUPS must be set if OIDC_ISSUER is: nobody gets in"
                " without a group; * is everybody whom the issuer signs in"
            )
        if self.passwordless_only and not self.oidc_issuer:
            raise ValueError("PASSWORDLESS_ONLY needs OIDC_ISSUER: otherwise nobody could sign in")
        return self

    @property
    def database_parameters(self) -> dict[str, str]:
        """Return the parameters of `DATABASE_URL` as libpq parses it."""
        if self.database_url is None:
            raise ConfigError(
                "DATABASE_URL is not set: give the address of a PostgreSQL database, postgresql://user:password@host:5432/name"
            )
        return connection_parameters(self.database_url.get_secret_value())

    @property
    def broker_url(self) -> str:
        """Return `REDIS_URL` for Celery, with `REDIS_PASSWORD` if it contains no password."""
        if self.redis_url is None:
            raise ConfigError("REDIS_URL is not set: give the address of a Redis or Valkey server, redis://host:6379/0")
        parts = urlsplit(self.redis_url.get_secret_value())
        if parts.scheme == "rediss":
            # By default, Celery would accept any certificate.
            checks = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"} | dict(parse_qsl(parts.query))
            parts = parts._replace(query=urlencode(checks))
        if self.redis_password is None or parts.password is not None:
            return parts.geturl()
        user, host = parts.username or "", parts.netloc.rpartition("@")[2]
        password = quote(self.redis_password.get_secret_value(), safe="")
        return parts._replace(netloc=f"{user}:{password}@{host}").geturl()

    @property
    def is_https(self) -> bool:
        """Whether people reach this server by HTTPS."""
        return urlsplit(self.public_base_url).scheme == "https"

    @property
    def bootstrap_key(self) -> str:
        """`API_KEY`: the administrator's key without a row."""
        if self.api_key is None:
            raise ConfigError(f"API_KEY is not set: choose a text of {MIN_KEY_LENGTH} characters or more")
        return self.api_key.get_secret_value()

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """`SECRET_KEY`: the first key encrypts, all decrypt."""
        if self.secret_key is None:
            raise ConfigError(f"SECRET_KEY is not set: choose a text of {MIN_KEY_LENGTH} characters or more")
        return tuple(part.strip() for part in self.secret_key.get_secret_value().split(","))

    @property
    def twilio_proxy(self) -> Proxy:
        """The proxy for Twilio: `HTTPS_PROXY`, else `ALL_PROXY`, with the exceptions in `NO_PROXY`."""
        return self._proxy(self.https_proxy or self.all_proxy)

    @property
    def outgoing_proxy(self) -> Proxy:
        """The proxy for all other requests: `WEBHOOK_PROXY`, with the same exceptions."""
        return self._proxy(self.webhook_proxy)

    def _proxy(self, address: SecretStr | None) -> Proxy:
        if address is None:
            return proxies.DIRECT
        return Proxy(proxies.check_proxy(address.get_secret_value()), proxies.parse_exceptions(self.no_proxy))


def _given() -> environment.Given:
    """Read all settings that are set."""
    names = [name.upper() for name in Settings.model_fields]
    return environment.read(names, secret_names(), Settings.env_file, os.environ)


def secret_names() -> list[str]:
    """List the settings whose values are secret, in upper case."""
    return [name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def origins() -> dict[str, str]:
    """Return where each setting that is not a default comes from, by name in upper case."""
    return _given().origins


def remarks() -> tuple[str, ...]:
    """List likely mistakes in the environment and `.env`, one per line, without values."""
    return _given().remarks


def _named(name: str, check: Callable[[str], object], value: str) -> None:
    """Check a setting that is validated together with others.

    Raises: ValueError with its name.
    """
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


ERROR_MESSAGES = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
}
"""By Pydantic's error type, for people who do not know Pydantic."""


def _explain(error: ValidationError) -> str:
    """List the invalid settings and what each must be, on one line, without values."""
    problems = []
    for item in error.errors(include_input=False, include_url=False):
        message = (
            ERROR_MESSAGES.get(item["type"], item["msg"]).removeprefix("Value error, ").replace("Input should", "must")
        )
        name = ".".join(str(part) for part in item["loc"][:1]).upper()
        problems.append(f"{name} {message}" if name else message)
    return "; ".join(problems)


def _check_key_log(path: str | None) -> None:
    """Check the file that Python writes the keys of TLS connections to: without it, no connection would open.

    Raises: ConfigError.
    """
    try:
        if path:
            Path(path).open("ab").close()
    except OSError:
        raise ConfigError("SSLKEYLOGFILE must be the path of a file that this user can write, or not be set") from None


@lru_cache
def get_settings() -> Settings:
    """Read the settings once.

    Raises: ConfigError; its line lists each invalid setting and what it must be.
    """
    _check_key_log(os.environ.get("SSLKEYLOGFILE"))
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    for name in ("ssl_cert_file", "ssl_cert_dir"):
        if (path := getattr(settings, name)) is not None:
            os.environ[name.upper()] = path  # used by OpenSSL for every library, and by child processes
    return settings
