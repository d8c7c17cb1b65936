"""HTTP for the SDK's client, directly or through a proxy, with limits on time and size."""

import logging
import time
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from twilio.http import HttpClient
from twilio.http.response import Response

from app.errors import TwilioTimeout, TwilioUnavailable
from app.utils.proxies import DIRECT, Proxy
from app.utils.tls import UNTRUSTED, is_untrusted, tls_context

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
"""A page of 1,000 messages can take more than ten seconds. The limit also ends slow responses."""
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""A page of 1,000 records has about one megabyte."""
POOL = httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=30.0)


class Answer(Response):  # type: ignore[misc]  # the SDK ships no types
    """A response with a body in bytes. The SDK's own decodes text that JSON would encode again."""

    def __init__(self, status_code: int, body: bytes, headers: httpx.Headers) -> None:
        super().__init__(status_code, "", headers)
        self.body = body


class PooledHttp(HttpClient):  # type: ignore[misc]  # likewise
    """The HTTP client of the SDK's client."""

    def __init__(
        self,
        read_seconds: float = READ_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        proxy: Proxy = DIRECT,
    ) -> None:
        super().__init__(logging.getLogger("twilio.http_client"), is_async=False)
        self._read_seconds, self._monotonic = read_seconds, monotonic
        self._proxy = proxy
        self._clients: dict[str | None, httpx.Client] = {}

    def _client(self, uri: str) -> httpx.Client:
        """Return the client for a URL: one per proxy, and one for direct connections."""
        proxy = self._proxy.for_url(uri)
        if proxy not in self._clients:
            self._clients[proxy] = httpx.Client(
                verify=tls_context(),
                timeout=httpx.Timeout(self._read_seconds, connect=CONNECT_SECONDS),
                limits=POOL,
                follow_redirects=False,
                headers={"Accept-Encoding": "gzip"},
                proxy=None if proxy is None else _proxy(proxy),
                trust_env=False,
            )
        return self._clients[proxy]

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002  # ours are fixed
        allow_redirects: bool = False,  # noqa: ARG002  # never: credentials go where they are meant to go
    ) -> Answer:
        """Send one request.

        Raises: TwilioUnavailable if no complete response arrived; the message contains no query.
        """
        values: dict[str, Any] = {"headers": headers, "auth": auth}
        if params:
            values["params"] = params
        if data:
            values["data"] = data
        path = httpx.URL(uri).path
        try:
            with self._client(uri).stream(method, uri, **values) as response:
                return Answer(response.status_code, self._body(response, path), response.headers)
        except httpx.TimeoutException as error:
            raise TwilioTimeout(f"no answer from Twilio for {path} ({type(error).__name__})") from None
        except httpx.ProxyError:
            raise TwilioUnavailable(f"the proxy blocked the request to Twilio for {path}: see HTTPS_PROXY") from None
        except httpx.HTTPError as error:
            why = f": {UNTRUSTED}, see SSL_CERT_FILE" if is_untrusted(error) else f" ({type(error).__name__})"
            raise TwilioUnavailable(f"no answer from Twilio for {path}{why}") from None

    def _body(self, response: httpx.Response, path: str) -> bytes:
        """Read the body, with limits on size and time."""
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > MAX_RESPONSE_BYTES:
            raise TwilioUnavailable(f"Twilio's answer for {path} is larger than {MAX_RESPONSE_BYTES} bytes")
        deadline = self._monotonic() + self._read_seconds
        unpack = _unpacker(response.headers.get("content-encoding", "identity"), path)
        body = bytearray()
        for piece in response.iter_raw():
            body += unpack(piece, MAX_RESPONSE_BYTES + 1 - len(body))
            if len(body) > MAX_RESPONSE_BYTES:
                raise TwilioUnavailable(f"Twilio's answer for {path} is larger than {MAX_RESPONSE_BYTES} bytes")
            if self._monotonic() > deadline:
                raise TwilioTimeout(f"Twilio's answer for {path} took longer than {self._read_seconds:.0f} s")
        return bytes(body)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def _proxy(address: str) -> httpx.Proxy:
    """Describe a proxy. A TLS proxy's certificate is verified as any other."""
    return httpx.Proxy(address, ssl_context=tls_context() if urlsplit(address).scheme == "https" else None)


def _unpacker(encoding: str, path: str) -> Callable[[bytes, int], bytes]:
    """Return a decompressor with limited output: a few bytes may expand to millions."""
    if encoding.strip().lower() in ("", "identity"):
        return lambda piece, _: piece
    if encoding.strip().lower() != "gzip":
        raise TwilioUnavailable(f"Twilio's answer for {path} has an unexpected Content-Encoding")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def unpack(piece: bytes, most: int) -> bytes:
        try:
            return unpacking.decompress(piece, most)
        except zlib.error:
            raise TwilioUnavailable(f"Twilio's answer for {path} cannot be unpacked") from None

    return unpack
