"""Creates some rules, a mail and a webhook to the inbox at the first start, so that a newcomer sees an alert.

They are created through the API. None is an example of README.md, so running those creates no duplicates.
"""

from pathlib import Path
from typing import Any

import httpx

RULES: list[dict[str, Any]] = [
    {
        "name": "Calls not connected",
        "description": "Calls that failed, or that nobody answered",
        "log_type": "call",
        "pattern_type": "status",
        "pattern_value": "failed,busy,no-answer",
        "group_by": ["status"],
    },
    {
        "name": "Messages undelivered",
        "description": "Messages that Twilio or a carrier gave up, by code. Filtered ones have a rule of their own; "
        "people who opted out are no trouble",
        "log_type": "message",
        "pattern_type": "expression",
        "pattern_value": 'log.status in ["failed", "undelivered"] && !(log.error_code in [21610, 30007])',
        "group_by": ["error_code"],
        "resolve_after_minutes": 10,
        "cooldown_minutes": 1,
    },
    {
        "name": "Carrier filtering",
        "description": "Messages blocked as spam: see how the text reads before sending more",
        "severity": "critical",
        "log_type": "message",
        "pattern_type": "error_code",
        "pattern_value": "30007",
    },
    {
        "name": "Webhooks of ours that fail Twilio",
        "description": "Twilio could not fetch or read what our own servers answered",
        "log_type": "error",
        "pattern_type": "error_code",
        "pattern_value": "11100-11999,12000-12999",
        "group_by": ["error_code"],
    },
]
RECIPIENT = "newcomer@example.com"
HOOK_PATH = "/hooks/giftpulse"


def prepare(api: httpx.Client, marker: Path, inbox_url: str, secret: str) -> None:
    """Create the rules and actions once; later starts only update the inbox's port."""
    if not marker.exists():
        _make(api, inbox_url, secret)
        marker.touch()
    for action in _all(api, "/api/actions"):
        url = action["config"].get("url", "")
        if url.startswith("http://127.0.0.1:") and url.endswith(HOOK_PATH) and url != inbox_url + HOOK_PATH:
            config = {**action["config"], "url": inbox_url + HOOK_PATH}
            api.patch(f"/api/actions/{action['id']}", json={"config": config}).raise_for_status()


def _make(api: httpx.Client, inbox_url: str, secret: str) -> None:
    if not _all(api, "/api/rules"):
        for rule in RULES:
            api.post("/api/rules", json=rule).raise_for_status()
    if not _all(api, "/api/actions"):
        mail = {"recipients": [RECIPIENT], "template": "error_notification"}
        hook = {"url": inbox_url + HOOK_PATH, "format": "standard", "secret": secret}
        for kind, config in (("email", mail), ("webhook", hook)):
            api.post("/api/actions", json={"action_type": kind, "config": config}).raise_for_status()


def _all(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = api.get(path, params={"limit": 1000})
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
