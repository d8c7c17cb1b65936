"""Draws `docs/report-mail.png`: a report as a mail program shows it. Run it with `python -m scripts.report_picture`.

It needs Playwright and Chromium, as the tests of the console do.
"""

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import ViewportSize, sync_playwright

from app.actions import mail_text, report_text
from app.services.twilio.error_codes import describe
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report-mail.png"
SIZE = ViewportSize(width=660, height=900)
UNTIL = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
ACCOUNT = "AC" + "0" * 31 + "1"
ID = "00000000-0000-0000-0000-000000000000"
DAYS = (5120, 5344, 5011, 5602, 4890, 1904, 1733)
CODES = ((30003, 41, 38), (30005, 22, 9), (30007, 12, 0))


def sample_report(**changes: Any) -> JsonObject:
    """Make a report of a week with something of everything."""
    since = UNTIL - timedelta(days=len(DAYS))
    series = [{"at": rfc3339(since + timedelta(days=day)), "count": count} for day, count in enumerate(DAYS)]
    return {
        "since": rfc3339(since),
        "until": rfc3339(UNTIL),
        "whole": True,
        "traffic": {
            "total": sum(DAYS),
            "before": 27_960,
            "by_type": [
                {"log_type": "call", "count": 3_204, "before": 3_310},
                {"log_type": "message", "count": 26_311, "before": 24_580},
                {"log_type": "error", "count": 89, "before": 70},
            ],
            "series": series,
        },
        "delivery": {
            "final": 25_804,
            "delivered": 25_211,
            "share": 0.977,
            "final_before": 24_101,
            "delivered_before": 23_740,
            "share_before": 0.985,
        },
        "cost": {"items": [{"unit": "USD", "amount": "212.4075", "before": "198.1200"}]},
        "error_codes": [_code(*each) for each in CODES],
        "unwatched": [_unwatched(30007, 12)],
        "alerts": _alerts(since),
        "rules": {
            "noisiest": [
                _noisy("Failed calls", 4, 3, 22),
                _noisy("Carrier filtering", 1, 1, 6),
            ],
            "without_match": [{"rule_id": ID, "rule_name": "Stuck messages", "last_matched_at": None}],
        },
        "not_read": [],
    } | changes


def _code(code: int, count: int, before: int) -> JsonObject:
    meaning = describe(code)
    shown = {name: getattr(meaning, name) for name in ("message", "fault", "next_step", "docs")}
    return {"error_code": code, **shown, "count": count, "before": before}


def _unwatched(code: int, count: int) -> JsonObject:
    return {
        "error_code": code,
        "message": describe(code).message,
        "count": count,
        "last_at": rfc3339(UNTIL - timedelta(hours=9)),
        "log_type": "message",
        "pack": "carrier_filtering",
    }


def _noisy(name: str, alerts: int, acknowledged: int, notifications: int) -> JsonObject:
    counts = {"alerts": alerts, "acknowledged": acknowledged, "notifications": notifications}
    return {"rule_id": ID, "rule_name": name, "deleted": False, **counts}


def _alerts(since: datetime) -> JsonObject:
    return {
        "total": 5,
        "before": 8,
        "open": 0,
        "acknowledged": 4,
        "by_severity": {"critical": 1, "warning": 4, "info": 0},
        "seconds_to_acknowledge": 252.0,
        "seconds_to_acknowledge_before": 300.0,
        "seconds_to_resolve": 1500.0,
        "seconds_to_resolve_before": None,
        "items": [
            _alert(since, "critical", "Failed calls", "31 calls failed in 5 minutes", 26, "Ann", 190.0, 2_460.0),
            _alert(since, "warning", "Carrier filtering", "12 messages undelivered to GB", 98, None, None, 1_260.0),
        ],
    }


def _alert(
    since: datetime,
    severity: str,
    name: str,
    summary: str,
    hours: int,
    by: str | None,
    acknowledged: float | None,
    resolved: float,
) -> JsonObject:
    return {
        "id": ID,
        "rule_name": name,
        "severity": severity,
        "status": "resolved",
        "summary": summary,
        "started_at": rfc3339(since + timedelta(hours=hours)),
        "acknowledged_by": by,
        "seconds_to_acknowledge": acknowledged,
        "seconds_to_resolve": resolved,
    }


def write_mail(report: JsonObject) -> dict[str, str]:
    """Write the mail of a report: its subject, text and HTML."""
    notification = report_text.to_notification(report, "week", "https://giftpulse.example.com", "Europe/Berlin", UNTIL)
    parts, warning = mail_text.write(mail_text.BUILT_IN, notification)
    assert warning is None, warning
    return parts


def main() -> int:
    """Draw the picture; another path may be given."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_content(write_mail(sample_report())["html"])
        page.screenshot(path=target, full_page=True)
        browser.close()
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
