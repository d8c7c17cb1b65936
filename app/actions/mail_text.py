"""Renders mails from the templates under `templates/email/` and builds messages."""

import contextlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, TemplateError, select_autoescape
from markupsafe import Markup

from app.actions import report_text
from app.actions.base import Envelope, Notification
from app.actions.facts import format_time, single_line
from app.actions.message_content import MessageContent, compose, truncate
from app.utils import mail_headers
from app.utils.console_links import console_url
from app.utils.json_types import JsonObject

FOLDER = Path(__file__).resolve().parents[2] / "templates" / "email"
BUILT_IN = "error_notification"
REPORT = "_report"
"""The template of reports. Actions cannot choose it: it shows no alerts."""
SIGNATURE = "\n-- \n"
"""Precedes the line that says why somebody receives the mail."""
PARTS = {"subject": "subject.txt", "text": "body.txt", "html": "body.html"}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
ADDRESS = re.compile(r"(https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]])")
MAX_SUBJECT_LENGTH = 200
MAX_TEXT_LENGTH = 400
"""For each text in a mail; the links lead to the complete text."""
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They change the direction of a text, so that it looks different."""


def exists(name: str) -> bool:
    """Return whether a template exists with all its parts."""
    return bool(NAME.match(name)) and all((FOLDER / name / part).is_file() for part in PARTS.values())


def names() -> list[str]:
    """List the templates."""
    return sorted(path.name for path in FOLDER.iterdir() if exists(path.name)) if FOLDER.is_dir() else []


@lru_cache
def _environment() -> Environment:
    """Build the environment. Templates are the operator's files and trusted; values are escaped in HTML."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(["html"]),
        undefined=ChainableUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"console_url": console_url, "when": format_time, "line": short_line, "linked": linked}
    environment.globals["words"] = report_text
    return environment


def load() -> None:
    """Compile the built-in templates, so that processes forked afterwards share them. A broken one fails in `write`."""
    for name in (BUILT_IN, REPORT):
        for file in PARTS.values():
            with contextlib.suppress(TemplateError, OSError):
                _environment().get_template(f"{name}/{file}")


def short_line(value: object, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Turn a text from elsewhere into one line, truncated if it is too long."""
    return truncate(single_line(value), max_length)


def linked(text: str, style: str) -> Markup:
    """Turn the URLs in a text into HTML links."""
    shown = Markup()
    for part in ADDRESS.split(text):
        is_link = ADDRESS.fullmatch(part)
        shown += Markup('<a class="link" href="{0}" style="{1}">{0}</a>').format(part, style) if is_link else part
    return shown


def write(name: str, notification: Notification) -> tuple[dict[str, str], str | None]:
    """Write subject, text and HTML of a mail.

    Returns: the parts, and a warning if the built-in template or plain text replaced an unusable template.
    """
    message_content = compose(notification).truncated(MAX_TEXT_LENGTH)
    values = {
        "type": notification.type.value,
        "alert": notification.alert,
        "rule": notification.rule,
        "logs": notification.logs,
        "digest": notification.digest,
        "report": notification.report,
        "base_url": notification.base_url,
        "story": message_content,
    }
    if notification.report is not None:
        name = REPORT
    for candidate in [REPORT] if name == REPORT else dict.fromkeys((name, BUILT_IN)):
        try:
            parts = {
                part: _environment().get_template(f"{candidate}/{file}").render(values) for part, file in PARTS.items()
            }
        except (TemplateError, OSError, ArithmeticError, LookupError, TypeError, ValueError):
            continue
        parts["subject"] = one_line(parts["subject"])
        return parts, None if candidate == name else f"the template {name} failed; the built-in one was used"
    return _plain(message_content), f"the template {name} and the built-in one failed; plain text was sent"


def plain_report(report: JsonObject, base_url: str, timezone: str, now: datetime) -> str:
    """Render a report for a terminal: the text of its mail without the signature."""
    notification = report_text.to_notification(report, "", base_url, timezone, now)
    return write(REPORT, notification)[0]["text"].partition(SIGNATURE)[0].rstrip()


def _plain(content: MessageContent) -> dict[str, str]:
    facts = "\n".join(f"{name}: {value}" for name, value in content.facts)
    text = f"{content.headline}\n{content.summary}\n\n{facts}\n\n{content.next_step}\n{content.link}\n"
    return {"subject": one_line(f"{content.headline}: {content.summary}"), "text": text}


def one_line(text: str) -> str:
    """Turn a text into a subject: one line without control and bidirectional characters, not too long.

    Encoded words (RFC 2047) in it are broken: readers of headers decode them, and they may contain line breaks.
    """
    return truncate(mail_headers.visible(text).replace(mail_headers.ENCODED_WORD, "= ?"), MAX_SUBJECT_LENGTH)


def message(envelope: Envelope, sender: Address) -> bytes:
    """Build a message: the same on every attempt, with one Message-ID, in the thread of its alert."""
    content: Mapping[str, str] = envelope.content
    fields = {
        "Subject": mail_headers.unstructured("Subject", one_line(content["subject"])),
        "From": mail_headers.sender(sender.display_name, sender.addr_spec),
        "To": envelope.recipient,
        "Date": format_datetime(envelope.created_at),
        "Message-ID": f"<gp.{envelope.delivery_id}@{content['domain']}>",
    }
    if envelope.alert_id is not None:
        root = f"<gp.alert.{envelope.alert_id}@{content['domain']}>"
        fields |= {"In-Reply-To": root, "References": root, "X-GiftPulse-Alert": envelope.alert_id}
    fields |= {
        "X-GiftPulse-Type": envelope.type.value,
        "List-Id": f"GiftPulse <giftpulse.{content['domain']}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    return mail_headers.write(fields) + _body(content, envelope.delivery_id)


def _body(content: Mapping[str, str], delivery_id: str) -> bytes:
    """Build the parts of a mail and the headers that describe them."""
    body = EmailMessage(policy=SMTP)
    body.set_content(_tidy(content["text"]), cte="quoted-printable")
    if "html" in content:
        body.add_alternative(_tidy(content["html"]), subtype="html", cte="quoted-printable")
        body.set_boundary(f"=_gp_{delivery_id}")
    return body.as_bytes()


def _tidy(text: str) -> str:
    """Remove characters that are not allowed in mails."""
    return "".join(
        part
        for part in text
        if part in "\n\t" or (unicodedata.category(part) not in ("Cc", "Cs") and part not in BIDI_CONTROLS)
    )
