"""The heads of HTTP responses: a status counts even if the rest of the head or the body is invalid."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict, MultiMapping

MAX_HEAD_BYTES = 64 * 1024
"""The part of a response head that is kept in case the library cannot parse it."""
STATUS_LINE = re.compile(rb"HTTP/\d{1,3}(?:\.\d{1,3})?[ \t]+(\d{3})(?=\s|\Z)")
"""The beginning of a status line of any version: the status decides even if the line has no end."""
INTERIM = re.compile(rb"(?:HTTP/\d{1,3}(?:\.\d{1,3})?[ \t]+1\d\d(?=\s)[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n\s*)+")
"""Interim responses such as `103 Early Hints`."""


@dataclass(frozen=True)
class Answer:
    """A server's response. It counts from the status line on, even if the body stalls."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; repeated values are joined with commas. Empty if they cannot be parsed."""
    body: bytes
    """The first 4 KiB, unchanged."""


class HeadFirst(ResponseHandler):
    """Keeps the status of a response, even if the rest of its head or its body is invalid."""

    _head = b""
    """The beginning of the response to the latest request."""

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the response to the next request."""
        self._head = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Handle received data: the head first, then the rest."""
        self._head += data[: MAX_HEAD_BYTES - len(self._head)]
        head, separator, rest = data.partition(b"\r\n\r\n")
        super().data_received(head + separator)
        if rest:
            super().data_received(rest)
        # The library closes the connection of an invalid body, but lets its reader wait.
        if self._payload is not None and self.exception() is not None:
            self._payload.set_exception(ClientPayloadError())

    def is_http(self) -> bool:
        """Return whether the response is HTTP: the library's parser also takes RTSP and ICE."""
        return self._head.lstrip().startswith(b"HTTP/")

    def answer(self) -> Answer | None:
        """Return the response as far as its head can be parsed; None if there is no status line."""
        head = self._head.lstrip()
        if interim := INTERIM.match(head):
            head = head[interim.end() :]
        found = STATUS_LINE.match(head)
        if found is None or found[1].startswith(b"1"):
            return None
        headers: CIMultiDict[str] = CIMultiDict()
        for line in takewhile(bytes.strip, head.splitlines()[1:]):
            name, separator, value = line.decode("latin-1").partition(":")
            if separator:
                headers.add(name, value.strip())
        return Answer(int(found[1]), joined(headers), b"")


def joined(headers: MultiMapping[str]) -> dict[str, str]:
    """Join repeated headers."""
    names = dict.fromkeys(name.lower() for name in headers)
    return {name: ", ".join(headers.getall(name)) for name in names}
