"""Parses the URLs among the settings. Errors say what is expected, and contain no part of a possible password."""

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

ESCAPES = "in a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DATABASE_FORM = f"must look like postgresql://user:password@host:5432/name; {ESCAPES}"
BROKER_FORM = f"must look like redis://:password@host:6379/0, or rediss:// for TLS; {ESCAPES}"
BROKER_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
BROKER_PARAMETERS = (
    "ssl_cert_reqs",
    "ssl_check_hostname",
    *BROKER_FILES,
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_password",
    "ssl_ciphers",
)
"""What the broker's library takes from a URL. Any other parameter would fail at the first connection."""
CERTIFICATE_CHECKS = ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE")


def connection_parameters(url: str) -> dict[str, str]:
    """Parse the URL of a database.

    Raises: ValueError.
    """
    # A password without percent-encoding would be read as another part of the URL.
    login, at, rest = url.partition("://")[2].partition("@")
    if re.search("[][/?#]", login if at else "") or re.search("[@#]", rest if at else login):
        raise ValueError(DATABASE_FORM)
    try:
        parameters: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError as error:
        if unknown := re.search('invalid URI query parameter: "([a-z_]+)"', str(error)):
            raise ValueError(f"has a parameter that PostgreSQL does not know: remove {unknown[1]}") from None
        raise ValueError(DATABASE_FORM) from None
    ports = [port for port in parameters.get("port", "").split(",") if port]
    if not all(re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= 65_535 for port in ports):
        raise ValueError(DATABASE_FORM)
    if parameters.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"has an sslmode that PostgreSQL does not know: use one of {', '.join(SSL_MODES)}")
    return parameters


def check_broker_url(url: str) -> None:
    """Check that the broker's library can use a URL.

    Raises: ValueError.
    """
    parts = split(url)
    if not url.startswith(("redis://", "rediss://")) or parts is None:
        raise ValueError(BROKER_FORM)
    if not re.fullmatch("(/[0-9]*)?", parts.path):
        raise ValueError("has a path that is no number: end it with the number of a database, such as /0")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := next((name for name in parameters if name not in BROKER_PARAMETERS), None):
        if not re.fullmatch("[a-z_]+", unknown):
            raise ValueError(BROKER_FORM)
        raise ValueError(f"has a parameter that cannot be used: remove {unknown}")
    if parameters.get("ssl_cert_reqs", "required") not in CERTIFICATE_CHECKS:
        raise ValueError(f"has an unknown ssl_cert_reqs: use one of {', '.join(CERTIFICATE_CHECKS[:3])}")
    for name in BROKER_FILES:
        if name in parameters and not Path(parameters[name]).is_file():
            raise ValueError(f"has a wrong {name}: it must be the path of a file that this user can read")


def web_address(value: str) -> SplitResult:
    """Parse an HTTP URL.

    Raises: ValueError.
    """
    parts = split(value)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ValueError("must be an address such as https://monitor.example.com")
    return parts


def split(value: str) -> SplitResult | None:
    """Split a URL; None if it cannot be parsed, including its port, or if its password splits it."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  # reading it is the check
    except ValueError:
        return None
    # Libraries disagree on where such a URL ends; their errors would contain the rest of the password.
    rest = value.partition("://")[2].removeprefix(parts.netloc)
    broken = parts.netloc.count("@") > 1 or ("@" not in parts.netloc and ":" in parts.netloc and "@" in rest)
    return None if broken else parts
