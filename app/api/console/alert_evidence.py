"""What explains an alert: its series, and what its logs have in common. Both read many logs, so they are cached."""

from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Request

from app.api.console.links import link
from app.config import Settings
from app.database import session_scope
from app.models import Alert
from app.services.alerts import search
from app.services.findings import wording
from app.services.findings.common import InCommon, find_common
from app.services.findings.comparison import MIN_FINDING_FACTOR
from app.services.findings.samples import ComparedAlert
from app.services.findings.traits import Trait
from app.services.preview.alert_series import AlertSeries, read_series
from app.utils.clock import utc_now

COMMON_SECONDS = 2
SERIES_SECONDS = 2
MIN_SHOWN_SHARE = 0.1


class Evidence(NamedTuple):
    """What explains an alert."""

    common: InCommon
    series: AlertSeries | None
    """None for built-in alerts."""


def cached_evidence(request: Request, alert: Alert) -> Evidence:
    """Return what explains an alert, at most a few seconds old."""
    state = alert.status, alert.occurrences, alert.resolved_at
    found: Evidence = request.app.state.evidence.get(alert.id, state)
    return found


def read_evidence(settings: Settings, alert_id: UUID, _state: object) -> Evidence:
    """Read what explains an alert, within the time limits of a page.

    Args:    _state: what was kept of the alert in another state is not shown.
    """
    with session_scope() as session:
        alert = search.get(session, alert_id)
        compared = ComparedAlert.of(alert)
        common = find_common(session, compared, with_texts=settings.store_message_bodies, seconds=COMMON_SECONDS)
        is_built_in = alert.rule_id is None
        # Last: it leaves the session read-only.
        series = None if is_built_in else read_series(session, alert, settings, utc_now(), SERIES_SECONDS)
        return Evidence(common, series)


def common_rows(common: InCommon) -> list[dict[str, Any]]:
    """List the traits of at least a tenth of the alert's logs, one per field, the widest difference first."""
    rows: dict[str, dict[str, Any]] = {}
    for each in common.items:
        if each.share < MIN_SHOWN_SHARE or each.trait.field in rows:
            continue
        rows[each.trait.field] = {
            "label": wording.label(each.trait),
            "href": _logs_with(each.trait),
            "here": wording.percent(each.share),
            "there": wording.percent(each.share_of_others),
            "width": round(100 * each.share, 1),
            "mark": round(100 * each.share_of_others, 1),
            "stands_out": each.share >= MIN_FINDING_FACTOR * each.share_of_others,
        }
    return list(rows.values())


def _logs_with(trait: Trait) -> str:
    """Return the address of the logs with a trait; empty if no filter finds them."""
    if trait.field in ("to_country", "from", "messaging_service_sid", "error_code", "status"):
        return link("/logs", **{trait.field: trait.value})
    return link("/logs", q=trait.value) if trait.field == "link_domain" else ""
