"""Parses Twilio's lists: pages, their next links, and the readable parts of broken pages. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import msgspec

from app.errors import TwilioRefused, TwilioUnavailable

MAX_DEPTH = 32
"""Twilio's records are five levels deep. Deeper values are replaced with null."""
MAX_RECORDS = 5_000
"""Five times the maximum of a page."""
MAX_COMMAS = 2_000_000
"""More than a page of the longest bodies made of commas. A list of millions of empty values would use much memory."""

# A product's default host, `{product}.{region}` or `{product}.{edge}.{region}`.
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
    """The JSON of each record, unchanged."""
    has_next: bool
    next_link: str | None = None
    """Where the list continues. A later listing may start there."""


class _Meta(msgspec.Struct):
    next_page_url: str | msgspec.UnsetType | None = msgspec.UNSET


class _Listing(msgspec.Struct):
    """A page of either API: the 2010 API links to the next page by a path, the others by a URL."""

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
    """Parse the records and the next link of a page.

    Args:    key: the name of the list of records.
    Raises:  TwilioUnavailable if the body is no such page: truncated, HTML, or of another shape.
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
    """Decode a page. Invalid characters and excessive depth affect only their own values."""
    try:
        return _listing.decode(body)
    except (msgspec.DecodeError, RecursionError):
        body = prune_depth(repair_text(body))
    try:
        return _listing.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise TwilioUnavailable("Twilio's answer is not the JSON of a page: it is read again") from None


def repair_text(body: bytes) -> bytes:
    """Replace invalid text: lone surrogates, and bytes that are not UTF-8."""
    body = body.decode("utf-8", "replace").encode()
    return _SURROGATES.sub(lambda found: found[1] + (found[2] or rb"\ufffd"), body)


def prune_depth(body: bytes) -> bytes:
    """Replace values deeper than `MAX_DEPTH` levels with null."""
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
    """Return the URL of the next page: path and query of the link unchanged, always at the server of `base_url`.

    A path alone goes to that server. A full URL must name the same server or, if both are Twilio's, the same product in
    any region: a regional host may link to the default one, but credentials belong to their region.

    Raises: TwilioRefused if the link leads elsewhere: credentials are sent to no other host.
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
    """Return the Twilio product of a host, such as `monitor` for `monitor.dublin.ie1.twilio.com`; else None."""
    if (address.scheme, address.port or 443) != ("https", 443):
        return None
    found = _TWILIO_HOST.fullmatch(address.hostname or "")
    return found[1] if found else None
