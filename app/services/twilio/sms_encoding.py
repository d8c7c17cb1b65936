"""The SMS encoding of a text, and its number of segments. Pure.

Source: 3GPP TS 23.038, table 6.2.1, and Twilio's documentation of segments.
"""

from typing import NamedTuple

from app.enums import LogType

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")
"""Characters that take two septets."""
GSM7_SINGLE, GSM7_PART = 160, 153
UCS2_SINGLE, UCS2_PART = 70, 67
MAX_NAMED = 5


class Encoding(NamedTuple):
    """The encoding of a text."""

    name: str
    """`GSM-7` or `UCS-2`."""
    units: int
    """Septets, or UTF-16 code units."""
    segments: int
    foreign: str
    """The first characters that GSM-7 lacks; because of them the segments are shorter."""


def encoding_of(log_type: str, text: str | None) -> Encoding | None:
    """Find the encoding of a log's text; None if it is no message, or has no text."""
    return encode(text) if text and log_type == LogType.MESSAGE else None


def encode(text: str) -> Encoding:
    """Find the encoding of a text. Twilio may replace look-alike characters before sending, so it may cost less."""
    foreign = [character for character in dict.fromkeys(text) if character not in BASIC | EXTENDED]
    if foreign:
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        return Encoding("UCS-2", units, _segments(units, UCS2_SINGLE, UCS2_PART), "".join(foreign[:MAX_NAMED]))
    units = len(text) + sum(character in EXTENDED for character in text)
    return Encoding("GSM-7", units, _segments(units, GSM7_SINGLE, GSM7_PART), "")


def _segments(units: int, single: int, part: int) -> int:
    return 1 if units <= single else -(-units // part)
