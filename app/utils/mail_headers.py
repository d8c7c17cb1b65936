"""Writes the header fields of a mail. Pure.

Texts beyond ASCII are encoded as RFC 2047 requires; structured fields are never encoded and stay on one line. The
standard library's folding does both wrong, and differently in each version of Python.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping

MAX_LINE_LENGTH = 76
"""For lines with an encoded word, and for others that can be folded."""
WORD_BYTES = 39
"""The size of an encoded word: after the longest name its line stays within `MAX_LINE_LENGTH`."""
MAX_QUOTED_LENGTH = 60
ENCODED_WORD = "=?"
"""The start of one, as in `=?utf-8?q?=0aBcc:_x?=`."""
UNSHOWN = re.compile(r"[\0- \x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Spaces and what is removed: controls, line ends, lone surrogates, and what changes the direction of a text.

Other characters without width belong to words, as in Persian, and to emoji. Those that this version of Python does not
know are newer than it.
"""


def write(fields: Mapping[str, str]) -> bytes:
    """Write header fields with encoded values: folded, in ASCII."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("ascii")


def visible(text: str) -> str:
    """Turn a text into one line without control and bidirectional characters."""
    return UNSHOWN.sub(" ", text).strip(" ")


def unstructured(name: str, text: str) -> str:
    """Encode a text as the value of the field `name`."""
    return _fold(len(name) + 2, _encoded(text) if _needs_encoding(text) else text.split(" "))


def sender(name: str, address: str) -> str:
    """Encode an address with a name as the value of `From`."""
    if not name:
        return address
    if _needs_encoding(name) or len(name) > MAX_QUOTED_LENGTH:
        return _fold(len("From: "), [*_encoded(name), f"<{address}>"])
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def _needs_encoding(text: str) -> bool:
    return not text.isascii() or ENCODED_WORD in text


def _encoded(text: str) -> Iterator[str]:
    """Split a text between characters, and encode each part."""
    part = b""
    for character in text:
        encoded = character.encode()
        if len(part) + len(encoded) > WORD_BYTES:
            yield _word(part)
            part = b""
        part += encoded
    if part:
        yield _word(part)


def _word(part: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(part).decode()}?="


def _fold(used: int, words: Iterable[str]) -> str:
    """Join words with spaces, and break the line before a word that would make it too long, except the first."""
    value, length = "", used
    for word in words:
        if not value:
            value = word
        elif length + 1 + len(word) > MAX_LINE_LENGTH:
            value, length = f"{value}\r\n {word}", 0
        else:
            value = f"{value} {word}"
        length += 1 + len(word)
    return value
