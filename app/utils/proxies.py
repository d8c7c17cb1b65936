"""Decides which requests use a proxy. Pure: reads no environment and looks nothing up."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

HOST = re.compile(r"[a-z0-9_.-]+\Z")


@dataclass(frozen=True)
class NoProxy:
    """The entries of `NO_PROXY`: hosts, domains and networks that are reached directly."""

    everything: bool = False
    names: tuple[tuple[str, int | None], ...] = ()
    """Names including their subdomains, with the port if one is given."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def matches(self, host: str, port: int | None) -> bool:
        """Return whether a host is reached directly; this machine always is."""
        try:
            address = ip_address(host)
        except ValueError:
            if host == "localhost" or host.endswith(".localhost"):
                return True
        else:
            if address.is_loopback or any(address in network for network in self.networks):
                return True
        listed = any((host == name or host.endswith("." + name)) and only in (None, port) for name, only in self.names)
        return self.everything or listed


def parse_exceptions(text: str) -> NoProxy:
    """Parse `NO_PROXY`: entries separated by commas or spaces, such as `.example.com:8443`, `10.0.0.0/8`, `fd00::/8`.

    Raises: ValueError for any other entry.
    """
    entries = [entry.lower() for entry in re.split(r"[,\s]+", text) if entry]
    networks, names = [], []
    for entry in entries:
        network = _network(entry)
        if network is not None:
            networks.append(network)
        elif entry != "*":
            names.append(_name(entry))
    return NoProxy("*" in entries, tuple(names), tuple(networks))


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    """Parse an address or a network; brackets around an IPv6 address are allowed."""
    try:
        return ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _name(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.removeprefix("*").removeprefix(".").partition(":")
    if not HOST.match(name) or (colon and not (port.isdecimal() and len(port) < 6 and 0 < int(port) < 65_536)):
        raise ValueError(
            "must be hosts, domains and networks separated by commas: localhost,.example.com,10.0.0.0/8,fd00::/8"
        )
    return name.rstrip("."), int(port) if colon else None


def check_proxy(text: str) -> str:
    """Check the URL of a proxy; without a scheme it is plain HTTP.

    Raises: ValueError; the message says what is expected and contains no value.
    """
    address = text if "://" in text else f"http://{text}"
    wanted = ValueError(
        "must be the address of an HTTP proxy, such as http://proxy.example.com:3128; SOCKS is not supported"
    )
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise wanted from None
    if not usable or parts.path.strip("/") or parts.query or parts.fragment or not address.isprintable():
        raise wanted
    return address.rstrip("/")


@dataclass(frozen=True)
class Proxy:
    """A proxy and its exceptions."""

    address: str | None = None
    """None if everything is reached directly."""
    exceptions: NoProxy = NoProxy()

    def __repr__(self) -> str:
        """Omit the address: it may contain a password."""
        return f"Proxy({'set' if self.address else 'none'})"

    def for_url(self, url: str) -> str | None:
        """Return the proxy for a URL; None if it is reached directly."""
        if self.address is None:
            return None
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return None if self.exceptions.matches(parts.hostname or "", port) else self.address


DIRECT = Proxy()
