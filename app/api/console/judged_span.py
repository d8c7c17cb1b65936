"""Which part of a preview's span could be judged, and what kept the rest from it, in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app.api.console import texts
from app.api.console.access import Viewer
from app.services.preview.completeness import MAX_LAG

SHORT = timedelta(hours=1)
"""A shorter time at the beginning of a span that was not judged is not worth a word."""
MAX_NAMED = 3


class JudgedSpan(NamedTuple):
    """The judged part of a span."""

    words: str
    """Which part was counted, such as `since Fri 10:00`; empty for the whole span."""
    reasons: Sequence[str]
    """Why the rest could not be judged, each as sentences."""


WHOLE = JudgedSpan("", ())


def describe_judged(viewer: Viewer, found: Mapping[str, Any], since: datetime, until: datetime) -> JudgedSpan:
    """Describe which part of a span a preview judged.

    Args:    found: the JSON of the preview.
    """

    def moment(text: str) -> str:
        return texts.moment(datetime.fromisoformat(text), viewer.zone, until)

    first, last, known = found["judged_from"], found["judged_until"], found["known_since"]
    late, stalled = _names(found["limited_since_by"]), _names(found["limited_until_by"])
    because = f"Logs of {late} are stored only since {moment(known)}" if late else "Older logs are not stored"
    if first is None:
        return JudgedSpan("and nothing judged", [_why_nothing(because, late, stalled, is_read=known is not None)])
    words, reasons = "", []
    if datetime.fromisoformat(first) - since > SHORT:
        words = f"since {moment(first)}"
        reasons.append(f"{because}. A backfill reads more.")
    if stalled and until - datetime.fromisoformat(last) > MAX_LAG:
        words = f"{words} until {moment(last)}".strip()
        reasons.append(f"{stalled} could not be read since {moment(last)}.")
    return JudgedSpan(words, reasons)


def _why_nothing(because: str, late: str, stalled: str, *, is_read: bool) -> str:
    if not is_read:
        return "Nothing can be judged yet: Twilio has not been read."
    if stalled and not late:
        return f"Nothing of this time can be judged: {stalled} could not be read."
    return f"Nothing of this time can be judged. {because}. A backfill reads more."


def _names(accounts: Sequence[Mapping[str, Any]]) -> str:
    """Name some accounts."""
    names = [str(each["friendly_name"] or each["account_sid"]) for each in accounts]
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {len(names) - MAX_NAMED} more accounts"
    return " and ".join(names)
