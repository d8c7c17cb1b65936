"""Reads encoded words strictly by RFC 2047: what a receiver with no mercy makes of a header."""

import base64
import re

WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([!->@-~]*)\?=")


def decode(field: str) -> str:
    """Decode an unstructured field as it was sent, with its folds.

    Raises: AssertionError where it breaks the RFC: a word that is too long, glued to text, or half a character.
    """
    said, before_was_word, gap = "", False, ""
    for token in re.split(r"([ \t\r\n]+)", field):
        if not token.strip():
            gap = token.replace("\r\n", "")
            continue
        word = WORD.fullmatch(token)
        assert word or "=?" not in token, f"an encoded word is glued to something: {token}"
        said += "" if word and before_was_word else gap
        said += _decode_word(word) if word else token
        before_was_word, gap = bool(word), ""
    return said


def phrase(text: str) -> str:
    """Decode the phrase before an address: quoted strings and encoded words."""
    text = text.strip()
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text)
    return re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else decode(text)


def _decode_word(word: re.Match[str]) -> str:
    charset, encoding, text = word.groups()
    assert len(word.group()) <= 75
    if encoding in "bB":
        return base64.b64decode(text, validate=True).decode(charset)
    return re.sub(
        rb"=([0-9A-F]{2})", lambda found: bytes([int(found.group(1), 16)]), text.replace("_", " ").encode()
    ).decode(charset)
