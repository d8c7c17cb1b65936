"""Twilio's lists as bytes in, records out: pages, their next links, and what a broken page still tells. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import msgspec

from app.errors import TwilioRefused, TwilioUnavailable

MAX_DEPTH = 32
"""Twilio's records are five levels deep; what is deeper than this is replaced by null."""
MAX_RECORDS = 5_000
"""Five times what a page may hold."""
MAX_COMMAS = 2_000_000
"""A page of the longest bodies, all of commas, has fewer; a list of millions of nothings would take a lot of memory."""

# The default host of a product, `{product}.{region}` and `{product}.{edge}.{region}`.
_TWILIO_HOST = re.compile(r"([a-z]+)(?:\.[a-z0-9-]+){0,2}\.twilio\.com")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATES = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    records: Sequence[msgspec.Raw]
    """The JSON of each record, as it came."""
    has_next: bool
    next_link: str | None = None
    """Where the list goes on: a later listing may begin there."""


class _Meta(msgspec.Struct):
    next_page_url: str | msgspec.UnsetType | None = msgspec.UNSET


class _Listing(msgspec.Struct):
    """A page of either API: 2010 names the next page by a path, the others by an address."""

    calls: list[msgspec.Raw] | None = None
    messages: list[msgspec.Raw] | None = None
    alerts: list[msgspec.Raw] | None = None
    accounts: list[msgspec.Raw] | None = None
    incoming_phone_numbers: list[msgspec.Raw] | None = None
    services: list[msgspec.Raw] | None = None
    sinks: list[msgspec.Raw] | None = None
    subscriptions: list[msgspec.Raw] | None = None
    next_page_uri: str | msgspec.UnsetType | None = msgspec.UNSET
    meta: _Meta | None = None


_listing = msgspec.json.Decoder(_Listing)


def read_page(body: bytes, key: str) -> tuple[list[msgspec.Raw], str | None]:
    """Read the records and the next link of a page.

    Args:    key: the name under which the records are.
    Raises:  TwilioUnavailable where the body is no such page: cut, HTML, of another shape.
    """
    if body.count(b",") > MAX_COMMAS:
        raise TwilioUnavailable(f"Twilio's answer has more records than a page of {key}: it is read again")
    listing = _decode(body)
    records: list[msgspec.Raw] | None = getattr(listing, key)
    if records is None:
        raise TwilioUnavailable(f"Twilio's answer has no list of {key}: it is read again")
    if len(records) > MAX_RECORDS:
        raise TwilioUnavailable(f"Twilio's answer has more records than a page of {key}: it is read again")
    link = listing.meta.next_page_url if listing.meta else listing.next_page_uri
    if link is msgspec.UNSET:
        raise TwilioUnavailable("Twilio's answer does not say whether there is a next page: it is read again")
    return records, link or None


def _decode(body: bytes) -> _Listing:
    """Decode a page; odd characters and odd depths inside records cost no more than themselves."""
    try:
        return _listing.decode(body)
    except (msgspec.DecodeError, RecursionError):
        body = prune_depth(repair_text(body))
    try:
        return _listing.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise TwilioUnavailable("Twilio's answer is not the JSON of a page: it is read again") from None


def repair_text(body: bytes) -> bytes:
    """Replace what is no text: halves of surrogate pairs, and bytes that are no UTF-8."""
    body = body.decode("utf-8", "replace").encode()
    return _SURROGATES.sub(lambda found: found[1] + (found[2] or rb"\ufffd"), body)


def prune_depth(body: bytes) -> bytes:
    """Replace by null whatever lies deeper than `MAX_DEPTH` levels."""
    kept: list[bytes] = []
    depth, start = 0, 0
    for token in _TOKENS.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(body[start : token.start()] + b"null")
        elif token[0] in b"]}":
            depth -= 1
            if depth == MAX_DEPTH:
                start = token.end()
    return b"".join(kept) + body[start:] if depth <= MAX_DEPTH else body


def follow(base_url: str, link: str) -> str:
    """Return the address of the next page: path and query of the link as they are, always at the server of `base_url`.

    A path alone goes to that server. A whole address must name the same server, or, where both are Twilio's, the same
    product in any region: a regional host may name the default one, but credentials belong to their region.

    Raises: TwilioRefused where the link leads elsewhere: credentials go to no other host.
    """
    base, target = urlsplit(base_url), _split_link(base_url, link)
    if not _leads_back(base, target):
        raise TwilioRefused("a next-page link leads to another host: credentials are not sent there", 400)
    prefix = "" if target.path.startswith(base.path) else base.path
    return urlunsplit((base.scheme, base.netloc, prefix + target.path, target.query, ""))


def _split_link(base_url: str, link: str) -> SplitResult:
    try:
        target = urlsplit(urljoin(base_url + "/", link))
        target.port  # noqa: B018  # reading it is the check
    except ValueError:
        return SplitResult("", "", "", "", "")
    return target


def _leads_back(base: SplitResult, target: SplitResult) -> bool:
    if target.username is not None or target.password is not None:
        return False
    if (target.scheme, target.hostname, target.port) == (base.scheme, base.hostname, base.port):
        return True
    products = {_product(base), _product(target)}
    return len(products) == 1 and None not in products


def _product(address: SplitResult) -> str | None:
    """Return which of Twilio's products a host serves: `monitor` of `monitor.dublin.ie1.twilio.com`; else None."""
    if (address.scheme, address.port or 443) != ("https", 443):
        return None
    found = _TWILIO_HOST.fullmatch(address.hostname or "")
    return found[1] if found else None
