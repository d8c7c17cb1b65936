"""Checks whether Twilio can be read, for the banner of `scripts/start`, by asking the running product."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

WAIT_SECONDS = 120.0
"""Enough for a slow machine; usually a second or two suffice."""
NAMES = {"call": "calls", "message": "messages", "error": "the error log"}


def describe(
    api: httpx.Client, sid: str, stopped: Callable[[], bool], sleep: Callable[[float], object] = time.sleep
) -> str:
    """Poll the account, wait for the result, and describe in one sentence what is read and what is not."""
    streams = _poll(api, sid, stopped, sleep)
    failed = {stream["log_type"]: stream["last_error"] for stream in streams if stream["last_error"]}
    waiting = [stream["log_type"] for stream in streams if not stream["last_error"] and not stream["read"]]
    read = [stream["log_type"] for stream in streams if not stream["last_error"] and stream["read"]]
    account = f"the Twilio account {sid}"
    if failed:
        start = f"It reads {_listed(read)} of {account}, but not" if read else "It cannot read"
        of = "" if read else f" of {account}"
        return f"{start} {_listed(failed)}{of}: {next(iter(failed.values()))}."
    if waiting or not streams:
        return f"It has not read {account} yet: GET /api/health tells how that goes."
    return f"It watches {account}."


def _poll(
    api: httpx.Client, sid: str, stopped: Callable[[], bool], sleep: Callable[[float], object]
) -> list[dict[str, Any]]:
    """Return the readable streams once each was polled or the time is up; `read`: it succeeded."""
    began: datetime | None = None
    asked = False
    deadline = time.monotonic() + WAIT_SECONDS
    streams: list[dict[str, Any]] = []
    while not stopped() and time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            answer = api.get(f"/api/accounts/{sid}")
            began = began or parsedate_to_datetime(answer.headers["date"])
            if answer.is_success:
                # The worker adds the environment's account with its first poll.
                asked = asked or api.post(f"/api/accounts/{sid}/poll").is_success
                streams = [_since(began, stream) for stream in answer.json()["streams"] if not stream["unavailable"]]
            if streams and all(stream["read"] or stream["last_error"] for stream in streams):
                break
        sleep(0.2)
    return streams


def _since(began: datetime, stream: dict[str, Any]) -> dict[str, Any]:
    """Reduce a stream to results of polls since `began`."""

    def is_new(name: str) -> bool:
        return stream[name] is not None and datetime.fromisoformat(stream[name]) >= began

    return {
        "log_type": stream["log_type"],
        "read": is_new("last_success_at"),
        "last_error": stream["last_error"] if is_new("last_error_at") else None,
    }


def _listed(log_types: Any) -> str:
    names = [NAMES[log_type] for log_type in log_types]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
