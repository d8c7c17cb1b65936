"""The digest of a bundle in words: the problems, their accounts, and what they share. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.actions.base import Notification, Spread, make_alert
from app.config import Settings
from app.enums import NotificationType, Severity
from app.models import Delivery
from app.services.outbox.digest import MAX_ITEMS, digest_data
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject
from app.utils.quantities import counted

MAX_NAMED_RULES = 3
"""The most rules that a bundle's summary names."""
MAX_NAMES = 3
"""The most accounts that it names for each."""


def bundle_notification(deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> Notification:
    """Describe a bundle as one notification: the problems, most severe first, their accounts, and what they share."""
    worst_first = sorted(deliveries, key=_order)
    items = [each.bundle_item or {} for each in worst_first]
    names: dict[str, str | None] = {sid: name for item in items for sid, name in item["accounts"].items()}
    alert = make_alert(
        id=None,
        rule_name=_title(len(items), len(names)),
        severity=items[0]["severity"],
        summary=_summary(items),
        started_at=min(item["started_at"] for item in items),
        last_match_at=rfc3339(max(each.created_at for each in deliveries)),
        occurrences=len(items),
    )
    shown = [_shown(each) for each in worst_first[:MAX_ITEMS]]
    since, until = (rfc3339(pick(each.created_at for each in deliveries)) for pick in (min, max))
    common = common_cause([item["finding"] for item in items])
    extra = {"accounts": list(names), "finding": common}
    return Notification(
        type=NotificationType.DIGEST,
        timestamp=now,
        alert=alert | {"finding": common},
        rule=None,
        logs=[],
        base_url=settings.public_base_url,
        advice=f"Start with the first alert: it is the most severe. {items[0]['next_step']}",
        spread=Spread(0, False, 0, 0, accounts=list(names)),
        account_names={sid: name for sid, name in names.items() if name},
        timezone=settings.notify_timezone,
        digest=digest_data(shown, len(items), since, until, settings) | extra,
    )


def _order(delivery: Delivery) -> tuple[int, int]:
    """The most severe first; among equals, the earliest."""
    return -Severity((delivery.bundle_item or {})["severity"]).rank, delivery.number


def _title(alerts: int, accounts: int) -> str:
    where = f" in {counted(accounts, 'account')}" if accounts else ""
    return f"{alerts} alerts{where}"


def _summary(items: Sequence[Mapping[str, Any]]) -> str:
    """Describe the problems and their accounts, rule by rule, the most severe first."""
    by_title: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in items:
        by_title[_name_of(item)].append(item)
    chapters = [_rule_phrase(title, alerts) for title, alerts in list(by_title.items())[:MAX_NAMED_RULES]]
    more = len(by_title) - MAX_NAMED_RULES
    return "; ".join(chapters + ([f"and {counted(more, 'more rule')}"] if more > 0 else []))


def _rule_phrase(title: str, alerts: Sequence[Mapping[str, Any]]) -> str:
    names = list({sid: name or sid for item in alerts for sid, name in item["accounts"].items()}.values())
    more = len(names) - MAX_NAMES
    where = [*names[:MAX_NAMES], *([f"{more} more"] if more > 0 else [])]
    facts = ([f"{len(alerts)} alerts"] if len(alerts) > 1 else []) + where
    return f"{title} ({', '.join(facts)})" if facts else title


def _name_of(item: Mapping[str, Any]) -> str:
    """Return the name of an alert's rule, without the state before it: all alerts of a bundle fire."""
    name: str = item["headline"].partition(": ")[2]
    return name


def common_cause(findings: Sequence[str | None]) -> str | None:
    """Return the finding that most alerts share, if at least two have the same. Pure."""
    counts = {finding: findings.count(finding) for finding in findings if finding}
    finding = max(counts, key=lambda each: counts[each], default=None)
    if finding is None or counts[finding] < 2:
        return None
    all_share = counts[finding] == len(findings)
    which = f"all {len(findings)} alerts" if all_share else f"{counts[finding]} of the {len(findings)} alerts"
    return f"Most logs of {which} have this in common: {finding}."


def _with_names(summary: str, accounts: Mapping[str, str | None]) -> str:
    """Name the accounts in a summary that have a name."""
    for sid, name in accounts.items():
        summary = summary.replace(f"account {sid}", name or f"account {sid}")
    return summary


def _shown(delivery: Delivery) -> JsonObject:
    item: Mapping[str, Any] = delivery.bundle_item or {}
    return {
        "delivery_id": str(delivery.id),
        "alert_id": None if delivery.alert_id is None else str(delivery.alert_id),
        "type": delivery.type,
        "severity": item["severity"],
        "created_at": rfc3339(delivery.created_at),
        "headline": _name_of(item),
        "summary": _with_names(item["summary"], item["accounts"]),
        "link": item["link"],
    }
