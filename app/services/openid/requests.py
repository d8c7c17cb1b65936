"""Requests to the sign-in provider, through the proxy, with limits on size and time. Redirects are not followed."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from app.errors import SignInUnavailable
from app.utils.proxies import Proxy
from app.utils.tls import UNTRUSTED, is_untrusted, tls_context

TIMEOUT_SECONDS = 5
"""For one request, from its name to the end of its answer. A sign-in sends up to four."""
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
    try:
        status, body = asyncio.run(_send(proxy.for_url(url), method, url, options))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        why = f"{UNTRUSTED}, see SSL_CERT_FILE" if is_untrusted(error) else type(error).__name__
        raise SignInUnavailable(f"it does not answer {urlsplit(url).path} ({why})") from None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    return status, content if isinstance(content, dict) else {}


async def _send(proxy: str | None, method: str, url: str, options: dict[str, Any]) -> tuple[int, bytes]:
    """Send a request. Only a loop can end one whose answer comes a line at a time."""
    body = bytearray()
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=tls_context(), proxy=proxy, trust_env=False) as client,
        client.stream(method, url, **options) as response,
    ):
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise SignInUnavailable(f"its answer for {urlsplit(url).path} is too large")
        return response.status_code, bytes(body)
