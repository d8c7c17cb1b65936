"""The control API under `/_simulator/`: what tests do to a simulator in another process.

It requires no password, so its port must not be reachable from other machines.
"""

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from scripts.twilio_simulator import bulk, wire
from scripts.twilio_simulator.accounts import KeyKind
from scripts.twilio_simulator.filters import DateFilters
from scripts.twilio_simulator.http import Request, Response, json_response
from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Kind

PREFIX = "/_simulator/"
MOMENTS = frozenset({"at", "date_created", "date_sent", "date_updated", "start_time", "end_time", "date_generated"})
KINDS = {kind.log_type: kind for kind in Kind}
Handler = Callable[[Simulator, dict[str, Any], dict[str, str]], Any]


def concerns(request: Request) -> bool:
    """Return whether a request is for this API."""
    return request.path.startswith(PREFIX)


def answer(simulator: Simulator, request: Request) -> Response:
    """Run the requested operation; 400 if it is impossible, 404 if its name is unknown."""
    for method, pattern, handler in ROUTES:
        match = re.fullmatch(pattern, request.path.removeprefix(PREFIX))
        if match and method == request.method:
            return _do(handler, simulator, request, match.groupdict())
    return json_response(404, {"error": f"There is no {request.method} {request.path}"})


def _do(handler: Handler, simulator: Simulator, request: Request, names: dict[str, str]) -> Response:
    try:
        given = request.json() if request.method in ("POST", "PATCH") else dict(request.query)
        with simulator.lock:
            return json_response(200, handler(simulator, _with_moments(given), names))
    except KeyError as error:
        return json_response(404, {"error": f"There is no {error}"})
    except (ValueError, TypeError, AttributeError) as error:
        return json_response(400, {"error": str(error)})


def _with_moments(given: dict[str, Any]) -> dict[str, Any]:
    """Convert the times among the values to datetimes; other texts are unchanged."""
    return {
        name: _moment(value) if name in MOMENTS and isinstance(value, str) else value for name, value in given.items()
    }


def _moment(text: str) -> datetime | str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return at if at.tzinfo else text


def _state(simulator: Simulator, _given: dict[str, Any], _names: dict[str, str]) -> Any:
    simulator.settle()
    return {
        "now": simulator.clock.now().isoformat(),
        "account_sid": simulator.account.sid,
        "records": simulator.counts(),
        "requests": len(simulator.requests),
    }


def _clock(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    clock = simulator.clock
    if given.get("freeze"):
        clock.freeze()
    if given.get("resume"):
        clock.resume()
    if "at" in given:
        clock.set(given["at"])
    if "advance_seconds" in given:
        clock.advance(float(given["advance_seconds"]))
    simulator.settle()
    return {"now": clock.now().isoformat()}


def _add(simulator: Simulator, given: dict[str, Any], names: dict[str, str]) -> Any:
    if "odd" in given:
        given["odd"] = str(given["odd"]).encode()
    return {"sid": simulator.add(KINDS[names["log_type"]], **given)}


def _add_bulk(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    return {"messages": len(bulk.add_messages(simulator, **given))}


def _change(simulator: Simulator, given: dict[str, Any], names: dict[str, str]) -> Any:
    simulator.change(names["sid"], **given)
    return simulator.record(names["sid"]).json()


def _remove(simulator: Simulator, _given: dict[str, Any], names: dict[str, str]) -> Any:
    simulator.remove(names["sid"])
    return {}


def _record(simulator: Simulator, _given: dict[str, Any], names: dict[str, str]) -> Any:
    return simulator.record(names["sid"]).json()


def _emitted(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    wanted = given.get("log_type")
    return {"items": [item.json() for item in simulator.emitted() if wanted in (None, item.kind.log_type)]}


def _add_account(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    return wire.account(simulator.add_account(**given))


def _set_account(simulator: Simulator, given: dict[str, Any], names: dict[str, str]) -> Any:
    return wire.account(simulator.set_account(names["sid"], **given))


def _add_key(simulator: Simulator, given: dict[str, Any], names: dict[str, str]) -> Any:
    kind, permissions = KeyKind(given.get("kind", "standard")), frozenset(given.get("permissions", ()))
    key = simulator.add_key(names["sid"], kind, permissions)
    return {"sid": key.sid, "secret": key.secret}


def _add_fault(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    fault = simulator.faults.add(**given)
    return asdict(fault)


def _random_faults(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    simulator.faults.at_random(**given)
    return {}


def _clear_faults(simulator: Simulator, _given: dict[str, Any], _names: dict[str, str]) -> Any:
    simulator.faults.clear()
    return {}


def _habits(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    if "concurrency_limit" in given:
        simulator.concurrency_limit = given.pop("concurrency_limit")
    if "date_filters" in given:
        given["date_filters"] = DateFilters(given["date_filters"])
    for name, value in given.items():
        if not hasattr(simulator.habits, name):
            raise AttributeError(f"There is no habit {name}")
        setattr(simulator.habits, name, value)
    return asdict(simulator.habits) | {"concurrency_limit": simulator.concurrency_limit}


def _requests(simulator: Simulator, _given: dict[str, Any], _names: dict[str, str]) -> Any:
    return {"total": len(simulator.requests), "by_path": simulator.request_counts()}


def _forget_requests(simulator: Simulator, _given: dict[str, Any], _names: dict[str, str]) -> Any:
    simulator.requests.clear()
    return {}


def _begin(simulator: Simulator, _given: dict[str, Any], names: dict[str, str]) -> Any:
    if simulator.traffic is None:
        raise ValueError("This simulator makes no traffic")
    return {"records": simulator.traffic.begin(names["scenario"])}


def _rates(simulator: Simulator, given: dict[str, Any], _names: dict[str, str]) -> Any:
    if simulator.traffic is None:
        raise ValueError("This simulator makes no traffic")
    simulator.traffic.set_rates(**given)
    return given


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "state", _state),
    ("POST", "clock", _clock),
    ("GET", "emitted", _emitted),
    ("POST", r"records/(?P<log_type>call|message|error)", _add),
    ("POST", "bulk", _add_bulk),
    ("GET", r"records/(?P<sid>\w+)", _record),
    ("PATCH", r"records/(?P<sid>\w+)", _change),
    ("DELETE", r"records/(?P<sid>\w+)", _remove),
    ("POST", "accounts", _add_account),
    ("PATCH", r"accounts/(?P<sid>\w+)", _set_account),
    ("POST", r"accounts/(?P<sid>\w+)/keys", _add_key),
    ("POST", "faults", _add_fault),
    ("POST", "faults/random", _random_faults),
    ("DELETE", "faults", _clear_faults),
    ("PATCH", "habits", _habits),
    ("GET", "requests", _requests),
    ("DELETE", "requests", _forget_requests),
    ("POST", r"scenarios/(?P<scenario>\w+)", _begin),
    ("PATCH", "traffic", _rates),
]
