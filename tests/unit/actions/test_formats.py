"""What each format sends."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.actions import chat, formats
from app.actions.base import Envelope, Notification
from app.actions.message_content import compose
from app.actions.sample import SAMPLE_ID, sample_notifications
from app.enums import NotificationType
from app.errors import InvalidInput
from tests.kits import notifications

FIRING, RESOLVED, TEST = sample_notifications()


def body(name: str, notification: Notification, **config: Any) -> Any:
    return json.loads(formats.render({"format": name} | config, notification).content["body"])


def test_the_standard_format_has_the_shape_of_the_contract() -> None:
    sent = body("standard", FIRING)
    assert sent["type"] == "alert.firing"
    assert set(sent) == {"type", "timestamp", "data"}
    assert set(sent["data"]) == {"alert", "rule", "logs"}
    assert body("standard", RESOLVED)["data"]["rule"] is None
    assert body("standard", TEST)["type"] == "action.test"


def test_logs_that_do_not_fit_are_omitted_and_counted() -> None:
    log = dict(FIRING.logs[0]) | {"text": "x" * 9000}
    sent = formats.standard(replace(FIRING, logs=[log] * 10))
    assert len(sent) <= 64 * 1024
    data = json.loads(sent)["data"]
    assert data["truncated_logs"] == 10 - len(data["logs"]) > 0
    huge = dict(FIRING.rule or {}) | {"filters": {"to": ["+1" * 50_000]}}
    sent = formats.standard(replace(FIRING, rule=huge))
    assert len(sent) <= 64 * 1024
    assert json.loads(sent)["data"]["rule"] == {"id": SAMPLE_ID, "name": huge["name"], "truncated": True}


def test_pagerduty_opens_and_closes_one_incident_and_its_key_is_not_stored() -> None:
    config = {"format": "pagerduty", "routing_key": "k" * 32}
    opened, closed = body("pagerduty", FIRING, **config), body("pagerduty", RESOLVED, **config)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == SAMPLE_ID
    assert "routing_key" not in opened
    frozen = formats.render(config, FIRING).content
    envelope = Envelope(
        delivery_id="d", alert_id=None, type=FIRING.type, recipient="", content=frozen, created_at=FIRING.timestamp
    )
    assert [json.loads(each) for each in formats.sent_bodies(config, envelope)] == [opened | {"routing_key": "k" * 32}]


def test_a_test_of_pagerduty_ends_the_incident_that_it_opens_and_no_other() -> None:
    config = {"format": "pagerduty", "routing_key": "k" * 32}
    keys = set()
    for delivery_id in ("d1", "d2"):
        content = formats.render(config, TEST).content
        envelope = Envelope(delivery_id, None, TEST.type, "", content, TEST.timestamp)
        opened, ended = [json.loads(each) for each in formats.sent_bodies(config, envelope)]
        assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
        assert opened["dedup_key"] == ended["dedup_key"] != SAMPLE_ID
        assert opened["routing_key"] == ended["routing_key"] == "k" * 32
        keys.add(opened["dedup_key"])
    assert len(keys) == 2


ITEMS = [
    {
        "headline": f"Firing: [Rule] {number}",
        "summary": "3 calls failed",
        "link": f"http://localhost:8000/alerts/{number}",
    }
    for number in range(20)
]
DIGEST = replace(FIRING, type=NotificationType.DIGEST, digest={"count": 35, "items": ITEMS, "more": 15, "link": ""})


@pytest.mark.parametrize("sign", ["s", "é", "漢", "👩", "&", "*"])
@pytest.mark.parametrize("name", chat.FORMATS)
def test_a_chat_message_stays_within_what_the_service_takes(name: str, sign: str) -> None:
    groups = dict.fromkeys(("to", "from", "status", "direction", "error_code", "to_country"), sign * 5000)
    error = FIRING.alert["error"] | {"message": sign * 5000, "cause": sign * 5000}
    long = {"rule_name": sign * 500, "summary": sign * 20_000, "group": groups, "error": error}
    for kind in (FIRING, TEST) if name == "pagerduty" else (FIRING, DIGEST, TEST):
        notification = replace(kind, alert=kind.alert | long)
        rendered = formats.render({"format": name}, notification)
        assert rendered.warning is None
        assert len(rendered.content["body"].encode()) <= chat.MAX_TOTAL_LENGTH[name]
        assert "…" in rendered.content["body"]
    assert check_limits(name, body(name, replace(FIRING, alert=FIRING.alert | long)))


def check_limits(name: str, sent: Any) -> bool:
    """The limits that the services document, field by field."""
    if name == "slack":
        blocks = sent["attachments"][0]["blocks"]
        assert len(blocks) <= 50
        for block in blocks:
            assert len(block.get("fields", [])) <= 10
            assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
            assert len(block.get("text", {}).get("text", "")) <= (150 if block["type"] == "header" else 3000)
            assert len(block.get("elements", [])) <= 10
            assert all(len(str(each["text"])) <= 3000 for each in block.get("elements", []))
    elif name == "discord":
        [embed] = sent["embeds"]
        assert len(embed["title"]) <= 256
        assert len(embed["description"]) <= 4096
        assert len(embed["fields"]) <= 25
        assert all(0 < len(each["name"]) <= 256 and 0 < len(each["value"]) <= 1024 for each in embed["fields"])
        texts = [embed["title"], embed["description"], embed["footer"]["text"]]
        texts += [each[part] for each in embed["fields"] for part in ("name", "value")]
        assert sum(map(len, texts)) <= 6000
        assert len(sent["embeds"]) <= 10
    elif name == "teams":
        assert len(json.dumps(sent, ensure_ascii=False).encode()) <= 28 * 1024
    elif name == "google_chat":
        [section] = sent["cardsV2"][0]["card"]["sections"]
        assert len(section["widgets"]) <= 100
        assert len(json.dumps(sent, ensure_ascii=False).encode()) <= 32_000
    elif name == "pagerduty":
        assert len(sent["payload"]["summary"]) <= 1024
        assert len(sent["dedup_key"]) <= 255
        assert sent["payload"]["severity"] in {"critical", "error", "warning", "info"}
        assert sent["payload"]["source"]
    return True


@pytest.mark.parametrize("name", [name for name in chat.FORMATS if name != "pagerduty"])
def test_a_digest_links_to_what_it_tells_of(name: str) -> None:
    sent = json.dumps(body(name, DIGEST))
    assert sent.count("http://localhost:8000/alerts/") >= 5
    assert "http://localhost:8000/alerts/0" in sent


def test_an_alert_that_is_too_large_for_a_webhook_is_cut_and_says_so() -> None:
    notification = replace(FIRING, alert=FIRING.alert | {"note": "漢" * 10_000, "group": {"from": "👩" * 10_000}})
    rendered = formats.render({"format": "standard"}, notification).content["body"]
    assert len(rendered.encode()) <= formats.MAX_BYTES
    assert json.loads(rendered)["data"]["alert"]["truncated"] is True


@pytest.mark.parametrize("name", chat.FORMATS)
def test_a_chat_message_links_to_the_alert(name: str) -> None:
    assert f"http://localhost:8000/alerts/{SAMPLE_ID}" in json.dumps(chat.FORMATS[name](FIRING, compose(FIRING)))


OURS = re.compile(
    r"<(https?://(localhost:8000|www\.twilio\.com/console)/[\w/]*)\|"  # Slack
    r'|<a href="(https?://(localhost:8000|www\.twilio\.com/console)/[\w/]*)">|</a>|<br>'  # Google Chat
    r"|\]\((https?://(localhost:8000|www\.twilio\.com/console)/[\w/]*)\)"  # Markdown
)
"""Links of our own, as far as they are written within texts."""
EVIL = st.lists(
    st.sampled_from(
        ["<!channel>", "<!here|here>", "<@U1>", "<https://evil.example|bank>", "@everyone", "@here", "<@&1>",
         "<at>a</at>",         "[bank](https://evil.example)", "![x](https://evil.example/x.png)", "<a href='https://evil.example'>x</a>",
         "&lt;!channel&gt;", "&", "<", ">", "|", "\\", "]", "(", "[", "`", "*", "~~", "||", "\n# ",
         "\u202e", "<users/all>"]
    ),
    max_size=400,
).map("".join)  # fmt: skip


@given(EVIL, st.sampled_from([1, 50, 500]))
def test_untrusted_text_can_neither_mention_nor_link_in_a_chat(evil: str, number: int) -> None:
    error = FIRING.alert["error"] | {"message": evil, "cause": evil}
    logs = [dict(FIRING.logs[0]) | {"text": evil}] * number
    sids = [FIRING.alert["sample_sids"][0]] * number
    group = {"from": evil, "to": evil}
    alert = FIRING.alert | {"summary": evil or "x", "group": group, "error": error, "sample_sids": sids}
    notification = replace(FIRING, alert=alert, logs=logs)
    for name in chat.FORMATS:
        sent = body(name, notification)
        check_limits(name, sent)
        if name == "pagerduty":  # which shows texts as they are
            continue
        for text in texts_in(sent):
            foreign = OURS.sub("", text)
            if name in ("slack", "google_chat"):
                assert "<" not in foreign, text
            elif name == "discord":
                assert not re.search(r"(?<!\\)(\\\\)*(@|<|\]\()", foreign), text
    slack = body("slack", notification)
    assert all(each["verbatim"] for each in objects_in(slack) if each.get("type") == "mrkdwn")
    assert body("discord", notification)["allowed_mentions"] == {"parse": []}


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Every object within a JSON value."""
    if isinstance(value, dict):
        return [value, *(each for part in value.values() for each in objects_in(part))]
    return [each for part in value for each in objects_in(part)] if isinstance(value, list) else []


def texts_in(sent: Any) -> list[str]:
    """The texts of a message that its service reads for signs of its own, without labels and plain texts."""
    names = ("text", "value", "description", *(["title"] if "embeds" in sent else []))
    is_plain = {"plain_text", "TextRun", "Action.OpenUrl"}
    plain = [each for each in objects_in(sent) if each.get("type") not in is_plain and "openLink" not in each]
    return [each[name] for each in plain for name in names if isinstance(each.get(name), str)]


MARKUP = (
    ":wave: *bold* _it_ ~gone~ `code` **b** __u__ ||spoiler|| # h - x {{DATE(2017-02-14T06:08:39Z)}} https://evil.example"
    " C:\\dir <b>x</b> &amp; :100: 1. "
)


@pytest.mark.parametrize("name", ["slack", "teams"])
def test_untrusted_text_reaches_slack_and_teams_as_plain_text(name: str) -> None:
    """In Slack without emoji, in Teams without the backslashes that its phones show."""
    error = FIRING.alert["error"] | {"message": MARKUP, "cause": MARKUP}
    alert = FIRING.alert | {"rule_name": MARKUP, "summary": MARKUP, "group": {"from": MARKUP}, "error": error}
    rule = dict(FIRING.rule or {}) | {"name": MARKUP, "description": MARKUP}
    items = [{"headline": MARKUP, "link": "http://localhost:8000/alerts/1"}]
    for notification in (FIRING, replace(FIRING, type=NotificationType.DIGEST, digest={"items": items})):
        sent = body(name, replace(notification, alert=alert, rule=rule))
        shown = [each for each in objects_in(sent) if each.get("type") in ("plain_text", "TextRun")]
        kept = " ".join(MARKUP.split()).replace("{{", "{{" if name == "slack" else "{\u200b{")
        assert sum(kept[:100] in each["text"] for each in shown) >= 4
        if name == "slack":
            assert all(each["emoji"] is False for each in shown)
            assert sent["mrkdwn"] is False
            assert ":wave:" not in sent["text"]
            texts = [each["text"] for each in objects_in(sent) if each.get("type") == "mrkdwn"]
        else:
            texts = [each["text"] for each in objects_in(sent) if each.get("type") == "TextBlock"]
            assert not any("\\*" in each["text"] for each in shown)
        assert not any("wave" in text or "evil" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (":wave: hi", r"\:wave: hi"),
        ("at 03:27:46", "at 03:27:46"),
        ("see https://evil.example", r"see https\://evil.example"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("a - b", "a - b"),
        ("# *x*", r"\# \*x\*"),
    ],
)
def test_untrusted_text_stays_text_in_discord(text: str, sent: str) -> None:
    alert = FIRING.alert | {"summary": text, "rule_name": text}
    [embed] = body("discord", replace(FIRING, alert=alert))["embeds"]
    assert embed["description"] == sent
    if text[0] not in "-1":  # which mean something only where a line begins
        assert embed["title"] == f"Firing: {sent}"


def test_a_template_takes_the_place_of_the_format() -> None:
    assert body("standard", FIRING, body='{"text": "{{ alert.summary }}"}') == {"text": FIRING.alert["summary"]}


def test_a_template_that_is_empty_only_without_a_rule_gives_way_to_the_built_in_body() -> None:
    source = '{% if rule %}{"rule": "{{ rule.id }}"}{% endif %}'
    config = {"format": "standard"} | formats.check(None, source, None)
    assert body("standard", FIRING, **config) == {"rule": SAMPLE_ID}
    assert body("standard", RESOLVED, **config)["type"] == "alert.resolved"
    with pytest.raises(InvalidInput, match="empty"):
        formats.check(None, "{% if not rule %}{}{% endif %}", None)


def test_a_template_that_fails_later_sends_the_built_in_body_and_says_so() -> None:
    config = {"format": "standard", "body": '{"a": {{ alert.group.to_country.upper() }}}'}
    rendered = formats.render(config, FIRING)
    assert json.loads(rendered.content["body"])["type"] == "alert.firing"
    assert rendered.warning is not None
    assert "built-in" in rendered.warning


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (NotificationType.FIRING, "Firing"),
        (NotificationType.UPDATE, "Still firing"),
        (NotificationType.RESOLVED, "Resolved"),
    ],
)
def test_a_notification_states_the_alerts_state(kind: NotificationType, state: str) -> None:
    assert compose(replace(FIRING, type=kind)).state == state


def test_a_built_in_alert_says_what_to_do() -> None:
    alert = RESOLVED.alert | {"rule_id": None, "rule_name": "Action disabled", "sample_sids": [], "resolved_at": None}
    notification = replace(RESOLVED, type=NotificationType.FIRING, alert=alert)
    assert "enable the action" in compose(notification).next_step


@pytest.mark.parametrize(
    ("pattern", "condition", "words"),
    [
        ("any", "no_data", "still sending"),
        ("any", "spike", "extra traffic"),
        ("any", "each", "Lookup"),
        ("error_code", "spike", "Lookup"),
    ],
)
def test_advice_follows_the_condition_of_rules_without_codes(pattern: str, condition: str, words: str) -> None:
    given = replace(FIRING, rule=dict(FIRING.rule or {}) | {"pattern_type": pattern}, advice="Check it with Lookup.")
    assert words in compose(notifications.measured({"type": condition}, 3.0, given)).next_step


@pytest.mark.parametrize(
    ("spread", "words"),
    [
        ({"recipients": 1, "senders": 1}, "Lookup"),
        ({"recipients": 4, "senders": 3}, "Lookup"),
        ({"senders": 1}, "They share one sender"),
        ({"senders": 1, "countries": ["GB", "FR"]}, "They share one sender"),
        ({"senders": 6}, "all in one country: United Kingdom (GB)"),
        ({"senders": 6, "countries": ["GB", "FR"]}, "in 2 countries. Look for what they share"),
        ({"senders": 6, "countries": []}, "Look for what they share"),
    ],
)
def test_advice_about_one_number_is_not_given_where_many_are_hit(spread: dict[str, Any], words: str) -> None:
    assert words in compose(notifications.outage(**spread)).next_step


def test_advice_that_fits_many_numbers_is_kept() -> None:
    notification = replace(notifications.outage(), advice="Carriers filter this traffic.", advice_fits_one=False)
    assert compose(notification).next_step == "Carriers filter this traffic."


@pytest.mark.parametrize("name", [*chat.FORMATS])
def test_a_rules_description_comes_with_its_alerts(name: str) -> None:
    assert "wiki.example.com/runbooks/sms" in json.dumps(body(name, notifications.outage()))


def test_resolving_an_alert_is_not_shown_as_acknowledging_it() -> None:
    by = {"acknowledged_by": "ann"}
    untaken = compose(replace(RESOLVED, alert=RESOLVED.alert | by))
    acknowledged = compose(replace(RESOLVED, alert=RESOLVED.alert | by | {"acknowledged_at": "2026-11-24T03:00:00Z"}))
    assert ("Resolved by", "ann") in untaken.facts
    assert ("Acknowledged by", "ann") in acknowledged.facts


@pytest.mark.parametrize(
    ("notification", "label", "path"),
    [
        (FIRING, "Open and acknowledge", f"/alerts/{SAMPLE_ID}"),
        (notifications.of(NotificationType.UPDATE), "Open and acknowledge", f"/alerts/{SAMPLE_ID}"),
        (RESOLVED, "Open the alert", f"/alerts/{SAMPLE_ID}"),
        (notifications.digest(), "Open the alerts", "/alerts"),
    ],
)
def test_a_button_leads_to_where_the_alert_is_acknowledged(notification: Notification, label: str, path: str) -> None:
    link = f"{notification.base_url}{path}"
    (slack,) = body("slack", notification)["attachments"][0]["blocks"][-1]["elements"]
    assert (slack["text"]["text"], slack["url"]) == (label, link)
    (teams,) = body("teams", notification)["attachments"][0]["content"]["actions"]
    assert (teams["type"], teams["title"], teams["url"]) == ("Action.OpenUrl", label, link)
