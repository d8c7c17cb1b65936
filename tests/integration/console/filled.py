"""A system with something of everything, and the address of each page of it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from app.api.console.routing import PageRoute
from app.config import get_settings
from app.database import session_scope
from app.models import Account
from app.services import console_sessions, people
from app.services.openid.identity import Identity
from app.utils.clock import rfc3339, utc_now
from tests.conftest import API_KEY
from tests.feeding import ACCOUNT, Feed, evaluate, log
from tests.integration.console.test_alert_pages import HOSTILE, make_alert
from tests.integration.console.test_pages import make_delivery

MARKUP = HOSTILE.partition("\u202e")[0]
LONG_WORD = "x" * 3_000
WEBHOOK = {"action_type": "webhook", "config": {"url": "https://hooks.example.com/x?token=canary"}}
NOT_PAGES = {"/logs.csv", "/deliveries/{delivery_id}/mail", "/sign-in/start", "/sign-in/callback"}
"""A file, a mail in a frame, and the way to the sign-in provider and back, which other tests look at."""


class Filled:
    """What was filled in, by the names that the addresses of pages use."""

    def __init__(self, url: str) -> None:
        """Fill an empty database behind the API at this address."""
        self._api = httpx.Client(base_url=url, headers={"X-API-Key": API_KEY}, trust_env=False)
        with self._api:
            self._fill()

    def addresses(self, app: FastAPI) -> Iterator[str]:
        """Yield the address of every page; each kind of object has one."""
        for route in app.routes:
            if isinstance(route, PageRoute) and "GET" in (route.methods or ()) and route.path not in NOT_PAGES:
                folder = route.path.partition("{")[0]
                yield route.path.format_map(self._parameters[folder]) if "{" in route.path else route.path
        yield f"/alerts/{self._alert_of_rule}"

    def _fill(self) -> None:
        now = utc_now()
        feed = Feed(now - timedelta(days=2))
        with session_scope() as session:
            session.get_one(Account, feed.account_id).friendly_name = f"Client {HOSTILE}"
            for subject, name in (("ann-7", MARKUP), ("bob-8", LONG_WORD[:100])):
                identity = Identity(subject, name, f"{subject}@{LONG_WORD[:60]}.example.com", frozenset({"on-call"}))
                person = people.sign_in(session, get_settings(), identity, now)
                if person is not None:
                    console_sessions.note(session, subject, people.key_id(person), name, now + timedelta(hours=12), now)
        rule = self._make("rules", {**RULE, "name": f"Filtered {MARKUP}", "description": LONG_WORD})
        self._make("rules", {**RULE, "name": LONG_WORD[:200], "group_by": ["to"], "enabled": False})
        action = self._make("actions", WEBHOOK)
        ends_at = rfc3339(now + timedelta(hours=2))
        self._make("silences", {"rule_id": rule["id"], "ends_at": ends_at, "reason": MARKUP})
        self._make("silences", {"group": {"to": LONG_WORD[:100]}, "ends_at": ends_at, "reason": LONG_WORD[:200]})
        self._make("keys", {"name": "A phone", "scope": "read"})
        later = utc_now() + timedelta(seconds=1)
        feed.store([log(number, later, text=HOSTILE) for number in range(11, 41)], later)
        feed.store([log(number, later, status="delivered", error_code=None) for number in range(41, 131)], later)
        feed.store([log(4, later, log_type="call", text=None)], later)
        feed.store([log(5, later, log_type="error", text=f"{HOSTILE} {LONG_WORD}", error_code=11200)], later)
        evaluate(later)
        alert_id = make_alert(rule_name=LONG_WORD[:200], summary=f"{HOSTILE} {LONG_WORD}"[:1_000])
        delivery_id = make_delivery(recipient=HOSTILE, subject=HOSTILE, html="<p>It failed.</p>")
        alerts = self._get("alerts", rule_id=rule["id"])
        assert alerts, "the rule fired"
        self._alert_of_rule = alerts[0]["id"]
        message = self._get("logs", log_type="message")[0]
        self._parameters: dict[str, dict[str, Any]] = {
            "/accounts/": {"sid": ACCOUNT},
            "/actions/": {"action_id": action["id"]},
            "/alerts/": {"alert_id": alert_id},
            "/deliveries/": {"delivery_id": delivery_id},
            "/error-codes/": {"code": 30003},
            "/logs/": {"sid": message["sid"]},
            "/rules/": {"rule_id": rule["id"]},
            "/rules/packs/": {"name": "carrier_filtering"},
        }

    def _make(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._api.post(f"/api/{kind}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def _get(self, kind: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._api.get(f"/api/{kind}", params=query).raise_for_status().json()["items"]
        return items


RULE: dict[str, Any] = {
    "log_type": "message",
    "pattern_type": "error_code",
    "pattern_value": "30003",
    "condition": {"type": "threshold", "count": 2, "window_minutes": 60},
}
