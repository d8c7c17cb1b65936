"""Requests to the sign-in provider, through the proxy, with limits on size and time. Redirects are not followed."""

import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from app.errors import SignInUnavailable
from app.utils.proxies import Proxy
from app.utils.tls import UNTRUSTED, is_untrusted, tls_context

TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 1024 * 1024


def read(proxy: Proxy, url: str, **options: Any) -> dict[str, Any]:
    """Read a JSON object.

    Raises: SignInUnavailable.
    """
    status, answer = ask(proxy, "GET", url, **options)
    if status != 200 or not answer:
        raise SignInUnavailable(f"it answers {urlsplit(url).path} with {status} and no JSON object")
    return answer


def ask(proxy: Proxy, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Send one request.

    Returns: the status, and the JSON object; it is empty where the answer is none.
    Raises:  SignInUnavailable if no whole answer came.
    """
    where, deadline = urlsplit(url).path, time.monotonic() + TIMEOUT_SECONDS
    through = proxy.for_url(url)
    try:
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, verify=tls_context(), proxy=through, trust_env=False) as client,
            client.stream(method, url, **options) as response,
        ):
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                    raise SignInUnavailable(f"its answer for {where} is too large or too slow")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = f"{UNTRUSTED}, see SSL_CERT_FILE" if is_untrusted(error) else type(error).__name__
        raise SignInUnavailable(f"it does not answer {where} ({why})") from None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    return response.status_code, content if isinstance(content, dict) else {}
