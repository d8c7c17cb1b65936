"""Faults on demand: responses that are replaced, and responses that are damaged."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any
from urllib.parse import urlsplit

from scripts.twilio_simulator.errors import ApiError, not_authenticated, too_many_requests
from scripts.twilio_simulator.http import Request, Response

HTML = {"Content-Type": "text/html; charset=utf-8"}
CHUNK = b" " * 65536
ODD_MARK = "0dd"
"""The SIDs of records that `odd_records` invents continue like this after their prefix; no others do."""


class FaultKind(StrEnum):
    """What can go wrong with a response."""

    RATE_LIMITED = "rate_limited"
    """429, with `Retry-After` if `retry_after_seconds` is given."""
    UNAVAILABLE = "unavailable"
    """A 5xx with Twilio's error document."""
    GATEWAY = "gateway"
    """A 5xx with an HTML page, as gateways send it."""
    REFUSED = "refused"
    """401 for any credentials."""
    HTML = "html"
    """200 with an HTML page."""
    EMPTY_BODY = "empty_body"
    """200 without a body."""
    CUT_BODY = "cut_body"
    """The connection closes in the middle of the body."""
    CUT_JSON = "cut_json"
    """A complete response whose JSON ends in the middle."""
    RESET = "reset"
    """The connection is reset before any response."""
    STALL = "stall"
    """The correct response, with a pause of `seconds` in the middle of its body."""
    SLOW = "slow"
    """The correct response after `seconds`."""
    HUGE = "huge"
    """A JSON document of `size_bytes`, streamed."""
    LOOP = "loop"
    """The link to the next page leads to this page."""
    FOREIGN_LINK = "foreign_link"
    """The link to the next page leads to another host."""
    EMPTY_PAGE = "empty_page"
    """A page without records; its link leads to the records it should have had."""
    DUPLICATES = "duplicates"
    """Repeats records of the previous page, or on a first page some of its own."""
    ODD_RECORDS = "odd_records"
    """Adds malformed records to the page."""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    kind: FaultKind
    path: str = ""
    """Only requests whose path and query contain this are affected."""
    status: int = 503
    seconds: float = 5.0
    retry_after_seconds: int | None = None
    size_bytes: int = 200 * 1024 * 1024
    url: str = "https://elsewhere.example.com"
    """The origin that `foreign_link` leads to."""


class Faults:
    """The faults for coming requests."""

    def __init__(self) -> None:
        """Start without faults."""
        self._waiting: list[tuple[Fault, int]] = []
        self._random: tuple[Random, float, Sequence[Fault]] | None = None

    def add(self, kind: FaultKind | str, times: int = 1, **details: Any) -> Fault:
        """Apply a fault to the next requests; details are those of `Fault`."""
        fault = Fault(FaultKind(kind), **details)
        self._waiting.append((fault, times))
        return fault

    def at_random(
        self, share: float, seed: int, kinds: Sequence[FaultKind | str] = tuple(FaultKind), **details: Any
    ) -> None:
        """Apply faults to a share of all requests until `clear`; details are those of `Fault`."""
        chosen = [Fault(FaultKind(kind), **details) for kind in kinds]
        self._random = (Random(seed), share, chosen)  # noqa: S311 - chance is no secret

    def clear(self) -> None:
        """Remove all faults."""
        self._waiting.clear()
        self._random = None

    def take(self, request: Request) -> Fault | None:
        """Choose the fault for a request, and count it as used."""
        for index, (fault, times) in enumerate(self._waiting):
            if fault.path in request.target:
                self._waiting[index : index + 1] = [(fault, times - 1)] if times > 1 else []
                return fault
        if self._random and self._random[0].random() < self._random[1]:
            return self._random[0].choice(self._random[2])
        return None


def answer(fault: Fault, request: Request, right: Callable[[Request], Response]) -> Response:
    """Build the faulty response.

    Args: right: returns the correct response to a request, which the fault may modify.
    """
    if fault.kind in INSTEAD:
        return INSTEAD[fault.kind](fault)
    response = right(request)
    if fault.kind in SPOILT:
        return SPOILT[fault.kind](fault, response)
    if response.status != 200:
        return response
    return _twisted(fault, request, response, right)


def _error(status: int) -> Response:
    return ApiError(status, 20503 if status == 503 else 20500, "Service unavailable").response()


def _huge(fault: Fault) -> Response:
    def chunks() -> Iterator[bytes]:
        for _ in range(fault.size_bytes // len(CHUNK)):
            yield CHUNK
        yield b"]}"

    return Response(200, b'{"messages": [', stream=chunks())


INSTEAD: dict[FaultKind, Callable[[Fault], Response]] = {
    FaultKind.RATE_LIMITED: lambda fault: too_many_requests(fault.retry_after_seconds).response(),
    FaultKind.UNAVAILABLE: lambda fault: _error(fault.status),
    FaultKind.GATEWAY: lambda fault: Response(fault.status, b"<html><h1>Bad gateway</h1></html>", HTML),
    FaultKind.REFUSED: lambda _: not_authenticated().response(),
    FaultKind.HTML: lambda _: Response(200, b"<!doctype html><title>Maintenance</title>", HTML),
    FaultKind.EMPTY_BODY: lambda _: Response(200),
    FaultKind.RESET: lambda _: Response(200, reset=True),
    FaultKind.HUGE: _huge,
}
SPOILT: dict[FaultKind, Callable[[Fault, Response], Response]] = {
    FaultKind.SLOW: lambda fault, response: replace(response, delay_seconds=fault.seconds),
    FaultKind.STALL: lambda fault, response: replace(response, stall_seconds=fault.seconds),
    FaultKind.CUT_BODY: lambda _, response: replace(response, cut_at_bytes=len(response.body) // 2),
    FaultKind.CUT_JSON: lambda _, response: replace(response, body=response.body[: len(response.body) // 2]),
}


def _twisted(fault: Fault, request: Request, response: Response, right: Callable[[Request], Response]) -> Response:
    """Modify a page; other responses are unchanged."""
    document = json.loads(response.body)
    key = next((name for name, value in document.items() if isinstance(value, list)), None)
    if key is None:
        return response
    links, name = (document["meta"], "next_page_url") if "meta" in document else (document, "next_page_uri")
    own = links["url" if "meta" in document else "uri"]
    match fault.kind:
        case FaultKind.LOOP:
            links[name] = own
        case FaultKind.FOREIGN_LINK:
            parts = urlsplit(links[name] or own)
            links[name] = f"{fault.url}{parts.path}?{parts.query}"
        case FaultKind.EMPTY_PAGE:
            document[key], links[name] = [], own
        case FaultKind.DUPLICATES:
            before = links[name.replace("next", "previous")]
            repeated = (
                json.loads(right(replace(request, target=before)).body)[key][-2:] if before else document[key][:2]
            )
            document[key] = repeated + document[key]
        case FaultKind.ODD_RECORDS:
            document[key] = [*_odd_records(document[key]), *document[key]]
        case _:
            raise AssertionError(fault.kind)
    return replace(response, body=json.dumps(document).encode())


def _odd_records(records: list[Any]) -> list[Any]:
    """Invent records that are unreadable or impossible."""
    odd: list[Any] = [None, 7, "text", [], {}, {"sid": None}, {"sid": 5, "status": []}]
    if not records:
        return odd
    model, prefix = records[0], str(records[0]["sid"])[:2] + ODD_MARK

    def like(number: int, **changes: Any) -> dict[str, Any]:
        return {**model, "sid": prefix + f"{number:029}", **changes}

    return [
        *odd,
        like(1, date_created=12345),
        like(2, date_created="yesterday"),
        like(3, date_created=None, date_sent=None, date_updated=None, start_time=None, end_time=None),
        like(4, status=["sent"], error_code={"code": 1}),
        like(5, error_code="many", price="free", duration="long", num_segments="some"),
        like(6, **{"from": 7, "to": ["+14155550100"], "body": 1.5, "alert_text": {}}),
        like(7, account_sid=None),
    ]
