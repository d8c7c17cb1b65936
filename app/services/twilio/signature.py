"""Verifies that a request comes from Twilio: `X-Twilio-Signature` over the public URL and the payload. Pure.

Source: Twilio's documentation of webhook security, and the validator of its SDK.
"""

import base64
import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}
BODY_HASH = "bodySHA256"
MAX_FIELDS = 1000
FORM = "application/x-www-form-urlencoded"
DEFAULT_ALGORITHM = "HMAC_SHA1"
ALGORITHMS = {DEFAULT_ALGORITHM: "sha1", "HMAC_SHA256": "sha256"}
"""By Twilio's names. Auth tokens use the first; a customer's own key names its algorithm."""

# Twilio signs a query before it escapes these characters. Source: issue threads of its SDKs.
_UNESCAPED_WHEN_SIGNED = tuple(re.compile(each, re.IGNORECASE) for each in ("%3A|%40|%27", "%3A|%40", "%27"))

Pairs = Sequence[tuple[str, str]]


def form_of(body: bytes) -> list[tuple[str, str]]:
    """Parse the parameters of a form, including blank values.

    Raises: ValueError if there are more than `MAX_FIELDS`, or if it is not text.
    """
    return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)


def shared_key(header: str) -> tuple[str, str] | None:
    """Return which of the customer's own keys signed a request, and how: its id and an item of `ALGORITHMS`.

    Args:    header: `X-Twilio-Webhooks-Signature-Settings`, such as `key=KY1,algorithm=HMAC_SHA256`.
    Returns: None if it names no key, or an unknown algorithm.
    """
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    algorithm = parts.get("algorithm", DEFAULT_ALGORITHM)
    return (parts["key"], algorithm) if parts.get("key") and algorithm in ALGORITHMS else None


def is_genuine(
    tokens: Iterable[str],
    signature: str,
    method: str,
    url: str,
    content_type: str | None,
    body: bytes,
    algorithm: str = DEFAULT_ALGORITHM,
) -> bool:
    """Return whether one of the tokens signed the request.

    Args:
        tokens: auth tokens or signing keys.
        url: the public URL that Twilio called, including its query; never taken from `Host`.
        body: the raw bytes.
    """
    fields = _signed_fields(method, url, content_type, body)
    if fields is None:
        return False
    # Compute and compare every candidate, so that timing does not show which was close.
    matches = [
        _is_same(sign(token, address, fields, algorithm), signature)
        for token in tokens
        for address in addresses_of(url)
    ]
    return any(matches)


def sign(token: str, url: str, fields: Pairs, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Sign a URL and form parameters as Twilio does."""
    values: dict[str, set[str]] = defaultdict(set)
    for name, value in fields:
        values[name].add(value)
    message = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return base64.b64encode(hmac.digest(token.encode(), message.encode(), ALGORITHMS[algorithm])).decode()


def _is_same(expected: str, given: str) -> bool:
    """Compare in constant time, as bytes: `compare_digest` rejects foreign characters in a text."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def addresses_of(url: str) -> list[str]:
    """List the forms of a URL that Twilio is known to sign.

    Scheme and host unchanged, in lower case and in ASCII, with and without the port; the query as received and with
    `:`, `@` and `'` unescaped. Everything else counts byte for byte.
    """
    origin, slash, path, query = _split(url)
    return [
        f"{each}{slash}{path}{'?' if query else ''}{form}" for each in _origins(origin) for form in _query_forms(query)
    ]


def _split(url: str) -> tuple[str, str, str, str]:
    """Split a URL into origin, slash, path and query, byte for byte. User and fragment are not sent."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    before_query, _, query = rest.partition("?")
    netloc, slash, path = before_query.partition("/")
    return f"{scheme}://{netloc.rpartition('@')[2]}", slash, path, query


def _origins(origin: str) -> list[str]:
    """List an origin with and without its port: unchanged, in lower case, and in ASCII."""
    parts = urlsplit(origin)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    bare = origin.removesuffix(f":{parts.port}")
    spellings = dict.fromkeys((bare, bare.lower(), _in_ascii(bare)))
    return [form for each in spellings for form in (each, f"{each}:{port}")]


def _in_ascii(origin: str) -> str:
    """Spell the host of an origin as DNS does: `https://bücher.example` becomes `https://xn--bcher-kva.example`."""
    scheme, separator, host = origin.partition("://")
    try:
        return origin if host.isascii() else scheme + separator + idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return origin


def _query_forms(query: str) -> list[str]:
    """List a query as received and as it was before Twilio escaped it."""
    forms = [query, *(pattern.sub(lambda found: unquote(found[0]), query) for pattern in _UNESCAPED_WHEN_SIGNED)]
    return list(dict.fromkeys(forms))


def _signed_fields(method: str, url: str, content_type: str | None, body: bytes) -> Pairs | None:
    """Return the form parameters covered by the signature; None if the body cannot be verified."""
    hashes = parse_qs(urlsplit(url).query, keep_blank_values=True).get(BODY_HASH)
    if hashes:
        right = _is_same(hashlib.sha256(body).hexdigest(), hashes[-1].lower())
        return [] if right else None
    if method == "GET" or not body:
        return []
    if (content_type or "").partition(";")[0].strip().lower() != FORM:
        return None
    try:
        return form_of(body)
    except ValueError:
        return None
