"""Email addresses: so strict that none can contain a second one, a header or a command. Pure."""

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.utils import getaddresses

import idna

from app.utils.mail_headers import visible

MAX_ADDRESS_LENGTH = 254
MAX_LOCAL_LENGTH = 64
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL = re.compile(rf"(?!.*=\?){ATOM}(\.{ATOM})*\Z")
"""Not the start of an encoded word (RFC 2047), which readers of headers decode."""
LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")


def check_address(text: str) -> str:
    """Validate one address; return it with its domain in ASCII.

    Raises: ValueError, whose message says what is expected and never repeats the address.
    """
    invalid = ValueError("must be one mail address, such as ops@example.com")
    local, at, domain = text.rpartition("@")
    if not at or len(text) > MAX_ADDRESS_LENGTH or len(local) > MAX_LOCAL_LENGTH or not LOCAL.match(local):
        raise invalid
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise invalid from None
    labels = ascii_domain.split(".")
    if not all(LABEL.match(label) for label in labels) or labels[-1].isdigit():
        raise invalid
    if len(local) + 1 + len(ascii_domain) > MAX_ADDRESS_LENGTH:
        raise invalid
    return f"{local}@{ascii_domain}"


def read_sender(text: str) -> Address:
    """Parse `SMTP_FROM`: an address, or a name with the address in angle brackets.

    Raises: ValueError.
    """
    found = getaddresses([text])
    if len(found) != 1:
        raise ValueError("must be one mail address, such as GiftPulse <alerts@example.com>")
    [(name, address)] = found
    local, _, domain = check_address(address).rpartition("@")
    return Address(visible(_decoded(name)), local, domain)


def _decoded(name: str) -> str:
    """Decode a name in encoded words, as programs without Unicode write it."""
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, UnicodeError):
        return name
