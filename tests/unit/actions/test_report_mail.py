"""A report as mail, chat message and webhook: it says the same everywhere, and what is foreign stays text."""

import json
import re
from typing import Any

import pytest

from app.actions import chat, formats, mail_text, report_advice, report_text
from app.actions.base import Notification
from app.actions.message_content import compose
from app.services.reports.comparison import without_before
from app.utils.json_types import JsonObject
from scripts.report_picture import UNTIL, sample_report, write_mail
from tests.kits.notifications import FORGED, MARKUP

EMPTY: JsonObject = {
    "traffic": {
        "total": 0,
        "before": 0,
        "by_type": [{"log_type": kind, "count": 0, "before": 0} for kind in ("call", "message", "error")],
        "series": [{"at": "2026-11-16T07:00:00Z", "count": 0}],
    },
    "delivery": {
        "final": 0,
        "delivered": 0,
        "share": None,
        "final_before": 0,
        "delivered_before": 0,
        "share_before": None,
    },
    "cost": {"items": []},
    "error_codes": [],
    "unwatched": None,
    "alerts": {
        "total": 0,
        "before": 0,
        "open": 0,
        "acknowledged": 0,
        "by_severity": {},
        "seconds_to_acknowledge": None,
        "seconds_to_acknowledge_before": None,
        "seconds_to_resolve": None,
        "seconds_to_resolve_before": None,
        "items": [],
    },
    "rules": {"noisiest": [], "without_match": []},
    "not_read": [],
}
UNREAD = {
    "account_sid": "AC" + "0" * 32,
    "log_type": "message",
    "since": "2026-11-20T03:00:00Z",
    "until": "2026-11-20T05:00:00Z",
    "state": "gap",
}


def notification(report: JsonObject, every: str = "week") -> Notification:
    return report_text.to_notification(report, every, "https://giftpulse.example.com", "Europe/Berlin", UNTIL)


def hostile() -> JsonObject:
    report = sample_report(unwatched=[])
    for item in report["rules"]["noisiest"] + report["rules"]["without_match"] + report["alerts"]["items"]:
        item["rule_name"] = MARKUP + FORGED
    for item in report["alerts"]["items"]:
        item["summary"] = item["acknowledged_by"] = MARKUP + FORGED
    return report


def test_mail_programs_show_all_of_it_without_asking_for_anything() -> None:
    html = write_mail(sample_report())["html"]
    for forbidden in ("<script", "<img", "<svg", "<link", "@import", "url(", "javascript:"):
        assert forbidden not in html.lower()
    assert html.count("<table") == html.count("</table>")


@pytest.mark.parametrize("part", ["text", "html"])
def test_both_parts_tell_the_figures_codes_alerts_and_rules(part: str) -> None:
    mail = write_mail(sample_report())[part]
    for told in ("26,311", "97.7%", "212.41", "30003", "Check the number with Lookup", "carrier_filtering"):
        assert told in mail, told
    for told in ("Failed calls", "acknowledged by Ann after 3 minutes 10 seconds", "25 minutes", "Stuck messages"):
        assert told in mail, told
    assert "Mon 16 Nov 2026, 08:00 to Mon 23 Nov 2026, 08:00 (Europe/Berlin)" in mail


def test_bars_are_as_wide_as_their_share_of_the_highest() -> None:
    html = write_mail(sample_report())["html"].partition("Traffic")[2].partition("Alerts")[0]
    assert [int(width) for width in re.findall(r'<td width="(\d+)%"', html)] == [91, 95, 89, 100, 87, 34, 31]


@pytest.mark.parametrize("part", ["text", "html", "subject"])
def test_untrusted_texts_stay_text_and_on_their_line(part: str) -> None:
    mail = write_mail(hostile())[part]
    assert "<script>alert" not in mail or part == "text"
    assert "\nCall +19005550100" not in mail
    assert "\nBcc:" not in mail


@pytest.mark.parametrize("changes", [EMPTY, {"whole": False, "not_read": [UNREAD]}, EMPTY | {"whole": False}])
def test_empty_and_small_samples_are_explained(changes: dict[str, Any]) -> None:
    mail = write_mail(sample_report(**changes))
    for text in (mail["text"], mail["html"]):
        assert "None" not in text
        assert "nan" not in text
    if not changes.get("whole", True):
        assert "not all of the time was read" in mail["subject"]
        assert "Not all of the time was read" in mail["html"]
    if changes.get("not_read"):
        assert "messages of AC00000000000000000000000000000000, Fri 20 Nov 2026, 04:00 to" in mail["text"]
        assert "missing for good" in mail["html"]


@pytest.mark.parametrize("name", ["slack", "teams", "google_chat", "discord"])
@pytest.mark.parametrize("report", [sample_report(), sample_report(**EMPTY), hostile()])
def test_chats_get_it_within_what_they_take(name: str, report: JsonObject) -> None:
    body = formats.render({"format": name}, notification(report)).content["body"]
    assert len(body.encode()) <= chat.MAX_TOTAL_LENGTH[name]
    assert "Open the report" in body or name == "discord"
    assert "Open the alert" not in body


def test_a_webhook_holds_the_report_beside_an_alert_in_its_usual_shape() -> None:
    body = json.loads(formats.standard(notification(sample_report(), "day")))
    assert body["type"] == "report"
    assert body["data"]["report"] == sample_report()
    assert body["data"]["alert"]["rule_name"] == "Daily report"
    assert body["data"]["alert"]["id"] is None
    assert (body["data"]["rule"], body["data"]["logs"]) == (None, [])


def test_a_webhook_that_would_be_too_large_leaves_out_the_ends_of_lists_and_says_so() -> None:
    quiet = {"rule_id": "1", "rule_name": "€" * 200, "last_matched_at": None}
    rules = {"noisiest": [], "without_match": [quiet] * 100}
    whole = formats.standard(notification(sample_report(not_read=[UNREAD] * 20)))
    assert len(json.loads(whole)["data"]["report"]["not_read"]) == 20
    body = formats.standard(notification(sample_report(rules=rules, not_read=[UNREAD] * 100)))
    assert len(body) <= formats.MAX_BYTES
    report = json.loads(body)["data"]["report"]
    assert report["truncated"] is True
    assert [len(report["not_read"]), len(report["rules"]["without_match"])] == [10, 10]
    assert report["error_codes"] == sample_report()["error_codes"]


def test_a_template_for_alerts_has_something_to_show_and_one_for_reports_sees_it() -> None:
    template = '{"text": "{{ alert.rule_name }}: {{ alert.summary }}", "n": {{ report.traffic.total or 0 }}}'
    body = json.loads(
        formats.render({"format": "standard", "body": template}, notification(sample_report())).content["body"]
    )
    assert body == {"text": f"Weekly report: {report_text.summary(sample_report())}", "n": 29_604}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"whole": False}, "Look under Accounts"),
        ({"traffic": EMPTY["traffic"], "not_read": [UNREAD]}, "No log of this time was read. A backfill"),
        ({"traffic": EMPTY["traffic"]}, "No rule watches"),
        ({"alerts": sample_report()["alerts"] | {"open": 1}}, "Look at the 1 alert of this time that is open."),
        ({}, "No rule watches error code 30007. Install the rule pack carrier_filtering"),
        ({"unwatched": []}, "Nothing: "),
        (
            {"unwatched": [], "rules": {"noisiest": [sample_report()["rules"]["noisiest"][0] | {"acknowledged": 0}]}},
            "raise its threshold",
        ),
    ],
)
def test_the_next_step_is_the_one_that_is_worth_most(changes: dict[str, Any], said: str) -> None:
    assert said in report_advice.next_step(sample_report(**changes))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([(15003, "webhooks")], "error code 15003. Install the rule pack webhooks to hear of it."),
        (
            [(15003, "webhooks"), (13224, "voice_sip"), (13224, "voice_sip"), (30003, "delivery")],
            "error code 15003 and 2 others. Install the rule packs webhooks, voice_sip and delivery to hear of them.",
        ),
        ([(12345, None), (12346, None)], "error code 12345 and 1 other. Make a rule to hear of them."),
        (
            [(12345, None), (30003, "delivery")],
            "error code 12345 and 1 other. Install the rule pack delivery and make a rule for 12345 to hear of them.",
        ),
    ],
)
def test_unwatched_codes_are_counted_once_and_come_with_their_packs(
    items: list[tuple[int, str | None]], said: str
) -> None:
    unwatched = [{"error_code": code, "pack": pack} for code, pack in items]
    assert report_advice.next_step(sample_report(unwatched=unwatched)) == f"No rule watches {said}"


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (106, 100, "6% more"),
        (50, 100, "50% fewer"),
        (100, 100, "as before"),
        (1001, 1000, "less than 1% more"),
        (5000, 100, "50 times as many"),
        (5, 0, ""),
    ],
)
def test_a_change_is_relative_to_the_previous_span(now: int, before: int, said: str) -> None:
    assert report_text.change({"total": now, "before": before}, "total") == said


@pytest.mark.parametrize("part", ["text", "html"])
def test_a_previous_span_that_was_not_read_is_not_mentioned(part: str) -> None:
    report = without_before(sample_report())
    assert " before)" not in (mail := write_mail(report)[part])
    assert "26,311" in mail
    assert " before" not in str(report_text.list_facts(notification(report)))
    assert "before" not in report_text.alerts_line(report)


def test_only_a_star_means_all_codes() -> None:
    assert [report_text.percent(share) for share in (1.0, 0.99999, 0.977, 0.0)] == ["100%", "99.99%", "97.7%", "0%"]


def test_the_template_of_reports_is_none_that_actions_can_name() -> None:
    assert mail_text.REPORT not in mail_text.names()
    assert not mail_text.exists(mail_text.REPORT)


def test_the_link_leads_to_the_same_span() -> None:
    link = compose(notification(sample_report())).link
    assert link == (
        "https://giftpulse.example.com/report?since=2026-11-16T07%3A00%3A00Z&until=2026-11-23T07%3A00%3A00Z"
    )
