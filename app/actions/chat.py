"""Messages for chat services and PagerDuty: each function builds the JSON for the service's incoming webhook.

Sources: Slack's Block Kit, Adaptive Cards 1.4, Google Chat's cardsV2, Discord's webhooks, PagerDuty's Events v2.
"""

import re
from collections.abc import Callable

from app.actions.base import Notification
from app.actions.message_content import MessageContent, truncate
from app.enums import NotificationType, Severity
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

MAX_SAMPLES = 5
EMOJI = re.compile(r":(?=[A-Za-z0-9_+'-]+:)")
"""The first colon of an emoji's name, such as `:wave:`."""
COLON = re.compile(r":(?=[A-Za-z0-9\\_+-]*[A-Za-z][A-Za-z0-9\\_+-]*:|//)")
"""A colon that Discord would read as part of an emoji or a link."""
PAGERDUTY_SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}


def _links(message: MessageContent, write: Callable[[str, str], str], separator: str, limit: int) -> str:
    """Write the links of a message, as many complete ones as fit: the alerts of a digest, else the sample logs."""
    shown = ""
    for label, url in message.digest_items or message.samples[:MAX_SAMPLES]:
        longer = shown + (separator if shown else "") + write(truncate(label, 200), url)
        if len(longer) > limit:
            break
        shown = longer
    return shown


def _explanation(message: MessageContent) -> list[tuple[str, str]]:
    """Write the text below the facts: the code's meaning and what to do."""
    sentences = []
    if message.code is not None:
        meaning = f"{message.code} {message.code_means}".strip()
        sentences.append(("Error", f"{meaning}. {message.cause}".rstrip(". ") if message.cause else meaning))
    about = [("About this rule", message.description)] if message.description else []
    return [*sentences, ("Next", message.next_step), *about]


def slack(notification: Notification, message: MessageContent) -> JsonObject:
    """Build a Slack message: blocks in an attachment with a colored edge.

    Texts from elsewhere are plain text without emoji: Slack's markup cannot escape its stars and colons.
    """
    blocks: list[JsonObject] = [
        {"type": "header", "text": _plain_text(message.headline, 150)},
        {"type": "section", "text": _plain_text(message.summary, 2900)},
        *({"type": "section", "fields": fields} for fields in _slack_fields(message)),
        *({"type": "section", "text": _plain_text(f"{name}: {text}", 2900)} for name, text in _explanation(message)),
        *(
            {"type": "section", "text": _plain_text(headline, 300), "accessory": _slack_button("Open", url)}
            for headline, url in message.digest_items
        ),
    ]
    samples = (
        "" if message.digest_items else _links(message, lambda label, url: f"<{url}|{_escape(label)}>", " · ", 2900)
    )
    if samples:
        blocks.append({"type": "context", "elements": [_mrkdwn(samples)]})
    blocks.append({"type": "actions", "elements": [_slack_button(message.button, message.link)]})
    return {
        "text": _truncate_escaped(_without_emoji(_escape(f"{message.headline}: {message.summary}")), 2900),
        "mrkdwn": False,
        "attachments": [{"color": message.colour, "blocks": blocks}],
    }


def _slack_fields(message: MessageContent) -> list[list[JsonObject]]:
    """Write the facts as a table of bold names and values. A section takes ten cells."""
    cells = [
        cell for name, value in message.facts for cell in (_mrkdwn(f"*{name}*"), _plain_text(value or "none", 1900))
    ]
    return [cells[start : start + 10] for start in range(0, len(cells), 10)]


def _slack_button(label: str, url: str) -> JsonObject:
    return {"type": "button", "text": _plain_text(label, 75), "url": url}


def _plain_text(text: str, limit: int) -> JsonObject:
    return {"type": "plain_text", "text": truncate(text, limit), "emoji": False}


def _mrkdwn(text: str) -> JsonObject:
    """Build a text in Slack's markup. `verbatim` stops Slack from finding links, channels and people in it."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_emoji(text: str) -> str:
    """Break emoji names such as `:wave:` with a zero-width space after the first colon."""
    return EMOJI.sub(":\u200b", text)


def _truncate_escaped(text: str, limit: int) -> str:
    """Shorten an escaped text, but not within an escaped character."""
    return re.sub(r"&[a-z]{0,3}…\Z", "…", truncate(text, limit))


def teams(notification: Notification, message: MessageContent) -> JsonObject:
    """Build an Adaptive Card for the Workflows of Teams.

    Texts from elsewhere are rich text runs without Markdown: on phones, Teams would show the backslashes of escapes.
    """
    tone = "Good" if notification.type == NotificationType.RESOLVED else _tone(message.severity)
    body: list[JsonObject] = [
        _rich_text({"text": message.headline, "size": "Large", "weight": "Bolder", "color": tone}),
        _rich_text({"text": truncate(message.summary, 4000)}),
        *(_named(name, truncate(value, 500)) for name, value in message.facts),
        *(_named(name, truncate(text, 4000)) for name, text in _explanation(message)),
    ]
    for label, url in message.digest_items:
        open_url = {"selectAction": {"type": "Action.OpenUrl", "url": url}}
        body.append(_rich_text({"text": truncate(label, 200), "underline": True} | open_url))
    links = "" if message.digest_items else _links(message, lambda label, url: f"[{label}]({url})", ", ", 8000)
    if links:
        body.append({"type": "TextBlock", "wrap": True, "isSubtle": True, "text": links})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": message.button, "url": message.link}],
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


def _named(name: str, value: str) -> JsonObject:
    return _rich_text({"text": f"{name}: ", "weight": "Bolder"}, {"text": value}, spacing="Small")


def _rich_text(*runs: JsonObject, **settings: str) -> JsonObject:
    """Build a block of runs. A card would format `{{DATE(...)}}` even in these."""
    inlines = [{"type": "TextRun"} | run | {"text": run["text"].replace("{{", "{\u200b{")} for run in runs]
    return {"type": "RichTextBlock", "inlines": inlines} | settings


def _tone(severity: Severity) -> str:
    return {Severity.INFO: "Accent", Severity.WARNING: "Warning", Severity.CRITICAL: "Attention"}[severity]


def _markdown(text: str) -> str:
    """Escape Discord's markup, so that texts from elsewhere neither link nor mention."""
    escaped = re.sub(r"([\\`*_\[\]()~|<>#@!])", r"\\\1", text)
    escaped = re.sub(r"\A(\d*)([-+.])(?=\s)", r"\1\\\2", escaped)
    return COLON.sub(r"\\:", escaped)


def google_chat(notification: Notification, message: MessageContent) -> JsonObject:
    """Build a card for Google Chat."""
    widgets: list[JsonObject] = [
        {"textParagraph": {"text": _truncate_escaped(_escape(message.summary), 4000)}},
        *(
            {"decoratedText": {"topLabel": name, "text": _truncate_escaped(_escape(value), 1000), "wrapText": True}}
            for name, value in [*message.facts, *_explanation(message)]
        ),
    ]
    links = _links(message, lambda label, url: f'<a href="{url}">{_escape(label)}</a>', "<br>", 8000)
    if links:
        widgets.append({"textParagraph": {"text": links}})
    widgets.append(
        {"buttonList": {"buttons": [{"text": message.button, "onClick": {"openLink": {"url": message.link}}}]}}
    )
    header = {"title": truncate(message.headline, 200), "subtitle": f"GiftPulse · {message.severity}"}
    return {"cardsV2": [{"cardId": "giftpulse", "card": {"header": header, "sections": [{"widgets": widgets}]}}]}


def discord(notification: Notification, message: MessageContent) -> JsonObject:
    """Build an embed for Discord. No text can mention anybody."""
    fields = [
        {"name": name, "value": truncate(_markdown(value), 1000) or "none", "inline": len(value) < 40}
        for name, value in [*message.facts, *_explanation(message)]
    ]
    links = _links(message, lambda label, url: f"[{_markdown(label)}]({url})", " · ", 1020)
    if links:
        fields.append({"name": "Alerts" if message.digest_items else "Samples", "value": links, "inline": False})
    embed = {
        "title": truncate(_markdown(message.headline), 250),
        "description": truncate(_markdown(message.summary), 2000),
        "url": message.link,
        "color": int(message.colour[1:], 16),
        "fields": fields[:25],
        "timestamp": rfc3339(notification.timestamp),
        "footer": {"text": "GiftPulse"},
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def pagerduty(notification: Notification, message: MessageContent) -> JsonObject:
    """Build an event for PagerDuty's Events v2: an alert opens one incident, its resolve closes it."""
    event: JsonObject = {"event_action": "trigger", "dedup_key": str(notification.alert["id"])}
    if notification.type == NotificationType.RESOLVED:
        return event | {"event_action": "resolve"}
    return event | {
        "client": "GiftPulse",
        "client_url": message.link,
        "links": [{"href": url, "text": truncate(label, 200)} for label, url in message.samples[:MAX_SAMPLES]],
        "payload": {
            "summary": truncate(f"{message.title}: {message.summary}", 1000),
            "source": "Twilio",
            "component": str(notification.alert["group"].get("account_sid", "GiftPulse")),
            "severity": PAGERDUTY_SEVERITIES[message.severity],
            "timestamp": rfc3339(notification.timestamp),
            "class": str(message.code or message.title),
            "custom_details": dict([*message.facts, *_explanation(message)]),
        },
    }


MAX_TOTAL_LENGTH = {"slack": 60_000, "teams": 28_000, "google_chat": 32_000, "discord": 6_000, "pagerduty": 60_000}
"""The limit of each service in bytes. Discord counts characters of texts, which are fewer."""
FORMATS: dict[str, Callable[[Notification, MessageContent], JsonObject]] = {
    "slack": slack,
    "teams": teams,
    "google_chat": google_chat,
    "discord": discord,
    "pagerduty": pagerduty,
}
