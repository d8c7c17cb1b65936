"""The text of an error-log entry, which Twilio usually sends as form data. Pure."""

from urllib.parse import parse_qsl

KNOWN_KEYS = frozenset(
    {"msg", "parsermessage", "sourcecomponent", "errorcode", "httpresponse", "url", "loglevel", "emailnotification"}
)
MESSAGE_KEYS = ("msg", "parsermessage")
MAX_FIELDS = 200


def fields_of(alert_text: str) -> dict[str, str] | None:
    """Decode the form data of an entry, including blank values; None if it is plain text."""
    try:
        pairs = parse_qsl(alert_text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if any(name.lower() in KNOWN_KEYS for name in fields) else None


def readable(alert_text: str | None) -> str | None:
    """Format the text of an entry for people: the message first, then every field with a value."""
    if not alert_text:
        return alert_text
    fields = fields_of(alert_text)
    if fields is None:
        return alert_text
    lines = [value for name, value in fields.items() if name.lower() in MESSAGE_KEYS and value]
    others = [f"{name}: {value}" for name, value in fields.items() if name.lower() not in MESSAGE_KEYS and value]
    return "\n".join([*lines, *others]).replace("\0", "\ufffd")
