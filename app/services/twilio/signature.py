"""Checks that a request comes from Twilio: `X-Twilio-Signature` over the public address and what was sent. Pure.

Source: Twilio's documentation of webhook security, and the validator of its SDK.
"""

import base64
import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
BODY_HASH = "bodySHA256"
MAX_FIELDS = 1000
FORM = "application/x-www-form-urlencoded"
DEFAULT_ALGORITHM = "HMAC_SHA1"
ALGORITHMS = {DEFAULT_ALGORITHM: "sha1", "HMAC_SHA256": "sha256"}
"""By Twilio's names. Auth tokens sign by the first; a key of the customer's own says by which."""

# Twilio calculates the signature of a query before it escapes these characters. Source: issue threads of its SDKs.
_UNESCAPED_WHEN_SIGNED = tuple(re.compile(each, re.IGNORECASE) for each in ("%3A|%40|%27", "%3A|%40", "%27"))

Pairs = Sequence[tuple[str, str]]


def form_of(body: bytes) -> list[tuple[str, str]]:
    """Read the parameters of a form, blank values kept.

    Raises: ValueError where there are more than `MAX_FIELDS`, or where it is no text.
    """
    return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)


def shared_key(header: str) -> tuple[str, str] | None:
    """Read which key of the customer's own signed a request, and how: its id and an item of `ALGORITHMS`.

    Args:    header: `X-Twilio-Webhooks-Signature-Settings`, such as `key=KY1,algorithm=HMAC_SHA256`.
    Returns: None where it names no key, or an algorithm that is not known.
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
    """Say whether one of these tokens signed the request.

    Args:
        tokens: the auth tokens, or the keys, that may have signed it.
        url: the public address that Twilio called, with its query; never what `Host` says.
        body: the bytes as they came.
    """
    fields = _signed_fields(method, url, content_type, body)
    if fields is None:
        return False
    given = signature.encode("utf-8", "replace")
    # Every candidate is computed and compared, so that time tells nothing about which one came close.
    matches = [
        hmac.compare_digest(sign(token, address, fields, algorithm).encode(), given)
        for token in tokens
        for address in addresses_of(url)
    ]
    return any(matches)


def sign(token: str, url: str, fields: Pairs, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Sign an address and form parameters as Twilio does."""
    values: dict[str, set[str]] = defaultdict(set)
    for name, value in fields:
        values[name].add(value)
    message = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return base64.b64encode(hmac.digest(token.encode(), message.encode(), ALGORITHMS[algorithm])).decode()


def addresses_of(url: str) -> list[str]:
    """List the forms of an address that Twilio is known to sign.

    Scheme and host as written and in lower case, with and without the port; the query as received and with `:`, `@`
    and `'` unescaped. Everything else counts byte for byte.
    """
    origin, slash, path, query = _split(url)
    return [
        f"{each}{slash}{path}{'?' if query else ''}{form}" for each in _origins(origin) for form in _query_forms(query)
    ]


def _split(url: str) -> tuple[str, str, str, str]:
    """Cut an address into origin, slash, path and query without changing a byte; its user and fragment are not sent."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    before_query, _, query = rest.partition("?")
    netloc, slash, path = before_query.partition("/")
    return f"{scheme}://{netloc.rpartition('@')[2]}", slash, path, query


def _origins(origin: str) -> list[str]:
    """List an origin with and without its port, as written and in lower case."""
    parts = urlsplit(origin)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    bare = origin.removesuffix(f":{parts.port}")
    return [form for each in dict.fromkeys((bare, bare.lower())) for form in (each, f"{each}:{port}")]


def _query_forms(query: str) -> list[str]:
    """List a query as received, and as it was before Twilio escaped it."""
    forms = [query, *(pattern.sub(lambda found: unquote(found[0]), query) for pattern in _UNESCAPED_WHEN_SIGNED)]
    return list(dict.fromkeys(forms))


def _signed_fields(method: str, url: str, content_type: str | None, body: bytes) -> Pairs | None:
    """Give the form parameters that are part of what is signed; None where the body cannot be vouched for."""
    hashes = parse_qs(urlsplit(url).query, keep_blank_values=True).get(BODY_HASH)
    if hashes:
        right = hmac.compare_digest(hashlib.sha256(body).hexdigest(), hashes[-1].lower())
        return [] if right else None
    if method == "GET" or not body:
        return []
    if (content_type or "").partition(";")[0].strip().lower() != FORM:
        return None
    try:
        return form_of(body)
    except ValueError:
        return None
