"""Signs requests as Twilio does: `X-Twilio-Signature`."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit


def sign(auth_token: str, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """Return the signature of a request to this URL with these form parameters.

    Args: form: decoded names and values in any order; empty for a GET and for bodies that are not forms.
    """
    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    parts = [name + value for name in sorted(values) for value in sorted(values[name])]
    message = "".join([called(url), *parts]).encode()
    digest = hmac.new(auth_token.encode(), message, hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def called(url: str) -> str:
    """Return the URL as it is called: without fragment, user and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def with_body_hash(url: str, body: bytes) -> str:
    """Add the hash of a non-form body to the URL; then the URL is signed."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, f"bodySHA256={hashlib.sha256(body).hexdigest()}") if part)
    return urlunsplit(parts._replace(query=query))
