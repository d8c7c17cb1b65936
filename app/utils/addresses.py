"""Decides which addresses and ports requests may go to. Pure: no name is looked up here.

Users choose the URLs of webhooks, so everything inside our own network must be out of reach: by number in any spelling,
and by names that resolve there. Resolved addresses are checked where the socket opens (`app.utils.http`).
"""

import re
import socket
import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Hosts that only this machine can reach."""
FORBIDDEN_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995, 1433, 1521, 3306, 5432, 6379, 11211, 27017})
"""Mail, databases and caches: a request there is an attack or a mistake."""


def is_loopback_url(url: str) -> bool:
    """Return whether a URL names this machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


ALWAYS_FORBIDDEN = _networks(
    "169.254.0.0/16",  # link-local, with the metadata of AWS, Azure, GCP and others
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "168.63.129.16/32",  # Azure's wire server
    "192.0.0.192/32",  # metadata of Oracle Cloud
    "fe80::/10",  # link-local
    "fd00:ec2::/32",  # metadata of AWS
    "fd20:ce::254/128",  # metadata of GCP
    "fd00:c1::a9fe:a9fe/128",  # metadata of Oracle Cloud
)
"""Blocked even if the operator allows the surrounding network: these addresses expose the machine's credentials."""

PRIVATE_IPV4 = _networks(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
PUBLIC_IPV6 = ip_network("2000::/3")
PRIVATE_IPV6 = _networks("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
"""Parts of the public range that lead elsewhere: tunnels and documentation."""
TRANSLATED = ip_network("64:ff9b::/96")
WITH_IPV4_INSIDE = _networks("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
"""IPv6 notations of an IPv4 address, in its last 32 bits."""


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether a request to an address is allowed.

    Args:    allowed: private networks that the operator allows.
    """
    inside = _ipv4_inside(address)
    if _is_in(address, ALWAYS_FORBIDDEN) or (inside is not None and _is_in(inside, ALWAYS_FORBIDDEN)):
        return False
    if _is_in(address, allowed):
        return True
    if isinstance(address, IPv4Address):
        return not _is_in(address, PRIVATE_IPV4)
    if address in TRANSLATED and inside is not None:
        return not _is_in(inside, PRIVATE_IPV4)
    return address in PUBLIC_IPV6 and not _is_in(address, PRIVATE_IPV6)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _ipv4_inside(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if _is_in(address, WITH_IPV4_INSIDE) else None


ACCEPTED = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
NUMBER = re.compile(r"(\d+|0x[0-9a-f]*)\Z")
"""No name may end in this: a resolver may read it as part of an IPv4 address."""


def check_url(url: str, allowed: Sequence[Network]) -> str:
    """Check the URL of a webhook, without DNS.

    Returns: the URL with its host in ASCII.
    Raises:  ValueError; the message says what is expected and never contains the URL.
    """
    if not url or len(url) > MAX_URL_LENGTH:
        raise ValueError(f"must be a URL of at most {MAX_URL_LENGTH} characters")
    scheme, slashes, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not slashes:
        raise ValueError("must begin with https:// or http://")
    end = min((rest.find(separator) for separator in "/?#" if separator in rest), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "#" in tail:
        raise ValueError("must have no fragment (#)")
    if tail and not ACCEPTED.match(tail):
        raise ValueError(
            "must not contain a space, control character, backslash or other character that a URL cannot contain"
        )
    userinfo, at, hostport = authority.rpartition("@")
    if at and (not ACCEPTED.match(userinfo) or "@" in userinfo or not all(userinfo.partition(":"))):
        raise ValueError("must name the user before the @ as user:password, or nobody")
    host, port = _split_port(hostport)
    host = _check_literal(host, allowed) if host.startswith("[") else _check_name(host, allowed)
    _check_port(port)
    return f"{scheme.lower()}://{userinfo}{at}{host}{':' if port else ''}{port}{tail}"


def _split_port(hostport: str) -> tuple[str, str]:
    if hostport.startswith("["):
        host, bracket, port = hostport.partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("must have a valid host")
        return host + bracket, port[1:]
    host, _, port = hostport.partition(":")
    return host, port


def _check_port(port: str) -> None:
    if not port:
        return
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError("must have a port between 1 and 65535")
    if int(port) in FORBIDDEN_PORTS:
        raise ValueError("must not go to a port of mail, a database or a cache")


def _check_literal(host: str, allowed: Sequence[Network]) -> str:
    try:
        address = ip_address(host[1:-1])
    except ValueError:
        address = None
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise ValueError("must have a valid host: an IPv6 address in brackets, without a zone")
    _require_allowed(address, allowed)
    return host


def _check_name(host: str, allowed: Sequence[Network]) -> str:
    """Check a name, or an IPv4 address in any notation; return it in ASCII."""
    name = _in_ascii(unicodedata.normalize("NFKC", host).replace("。", ".").lower())
    bare = name.removesuffix(".")
    if not bare:
        raise ValueError("must have a host")
    numeric = _as_ipv4(bare)
    if numeric is not None:
        _require_allowed(numeric, allowed)
        if str(numeric) != host:
            raise ValueError("must write an IPv4 address as four decimal numbers")
        return host
    if bare == "localhost" or bare.endswith(".localhost"):
        _require_allowed(IPv4Address("127.0.0.1"), allowed)
    labels = bare.split(".")
    if len(bare) > 253 or not all(LABEL.match(label) for label in labels) or NUMBER.match(labels[-1]):
        raise ValueError("must have a valid host")
    return host if host.isascii() else name


def _in_ascii(name: str) -> str:
    """Encode an international name as it is looked up. This removes its invisible characters."""
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("must have a valid host") from None


def _as_ipv4(host: str) -> IPv4Address | None:
    """Parse what the system's resolver would take as a number: `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`."""
    if not re.fullmatch(r"[0-9a-fx.]+", host):
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _require_allowed(address: Address, allowed: Sequence[Network]) -> None:
    if not may_reach(address, allowed):
        raise ValueError(
            "must not lead to a private, local or metadata address; the operator can open private networks by"
            " WEBHOOK_ALLOWED_NETWORKS"
        )
