"""Parses the URLs among the settings. Errors say what is expected, and contain no part of a possible password. Pure."""

import re
from urllib.parse import SplitResult, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

ESCAPES = "in a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DATABASE_FORM = f"must look like postgresql://user:password@host:5432/name; {ESCAPES}"


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
