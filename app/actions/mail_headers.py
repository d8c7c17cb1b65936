"""Writes the header fields of a mail. Pure.

Texts beyond ASCII are encoded whole, as RFC 2047 says; structured fields are never encoded and stand on one line. The
standard library's folding does both wrongly, and differently from one version of Python to the next.
"""

import base64
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

MAX_LINE_LENGTH = 76
"""Of a line with an encoded word; of others where they can be folded."""
WORD_BYTES = 39
"""What one encoded word holds: with the longest name before it, its line stays within `MAX_LINE_LENGTH`."""
MAX_QUOTED_LENGTH = 60
ENCODED_WORD = "=?"
"""Begins one, as in `=?utf-8?q?=0aBcc:_x?=`."""
JOINER = "\u200d"
"""Makes one sign of several: a family of four faces."""


def write(fields: Mapping[str, str]) -> bytes:
    """Write header fields whose values are ready: folded, and in ASCII."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("ascii")


def visible(text: str) -> str:
    """Make one line of a text, without control, format and bidirectional characters."""
    return " ".join(
        "".join(part if unicodedata.category(part)[0] != "C" or part == JOINER else " " for part in text).split()
    )


def unstructured(name: str, text: str) -> str:
    """Write a text as the value of the field `name`."""
    return _fold(len(name) + 2, _encoded(text) if _needs_encoding(text) else text.split(" "))


def sender(name: str, address: str) -> str:
    """Write an address with the name before it, as the value of `From`."""
    if not name:
        return address
    if _needs_encoding(name) or len(name) > MAX_QUOTED_LENGTH:
        return _fold(len("From: "), [*_encoded(name), f"<{address}>"])
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def _needs_encoding(text: str) -> bool:
    return not text.isascii() or ENCODED_WORD in text


def _encoded(text: str) -> Iterator[str]:
    """Cut a text between characters, and encode each part."""
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
    """Join words by spaces, and break the line before a word that would make it too long; never before the first."""
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
