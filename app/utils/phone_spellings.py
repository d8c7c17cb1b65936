"""Finds phone numbers in text, however they are spelled: with separators, escaped, in digits of other scripts. Pure.

A text is first turned into its skeleton, which is as long: each character or escape becomes one plain character,
followed by fillers where an escape is longer. So patterns are short, and positions are the same in both.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FILLER, NO_WIDTH = "\0", "\1"
"""The rest of an escape; and soft hyphens, joiners, marks."""
HEX = "[0-9A-Fa-f]"
PERCENT, TAIL = "%(?:25)*", f"%(?:25)*[89ABab]{HEX}"
BYTE = re.compile(f"{PERCENT}({HEX}{{2}})")
ESCAPE = re.compile(
    rf"{PERCENT}(?:[0-7]{HEX}|[CDcd]{HEX}{TAIL}|[Ee]{HEX}{TAIL}{TAIL}|[Ff]{HEX}{TAIL}{TAIL}{TAIL})"
    rf"|&(?:amp;)*(?:#[0-9]{{1,7}}|#[Xx]{HEX}{{1,6}}|[A-Za-z][0-9A-Za-z]{{1,30}});"
    rf"|(?<!\\)\\++(?:u{HEX}{{4}}|x{HEX}{{2}}|[/t])"
)
"""One character in a URL, in HTML or in JSON, also escaped repeatedly."""
SEPARATORS = "-(){}_./ \t[]"
F = r"[\x00\x01]*+"
"""What may follow each character in a skeleton."""
S = rf"(?:[-(){{}}_./ \t\[\]]{F})"
"""One separator between the digits of a number."""
DIGIT = f"[0-9]{F}"
NOT_A_TIME = r"(?![12][0-9]{3}-[01][0-9]-[0-3][0-9]|[0-2]?[0-9]:[0-5][0-9])"
NUMBER = re.compile(
    rf"(?P<plus>\+\0*+){F}{S}{{0,4}}+"
    rf"(?:[1-9]{F}(?:{DIGIT}){{9,14}}(?![0-9])"
    rf"|[1-9]{F}(?:{S}{{0,4}}+{DIGIT}){{7}}(?:{DIGIT}|{S}{{1,4}}+{NOT_A_TIME}{DIGIT}){{0,7}}(?![0-9])"
    rf"|(?<=\0)[1-9]{F}(?:(?:{S}|\+){{0,4}}{DIGIT}){{7,14}}(?![0-9]))"
)
"""A number with its plus: 8 to 15 digits. If the plus is escaped, another one may be the space of a URL."""
OWN_NUMBER = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]*\+?([1-9][0-9]{6,14})(?![0-9A-Za-z])")
MIN_NATIONAL_DIGITS = 8
"""Fewer digits occur elsewhere by chance."""
ID = re.compile(rf"[A-Z]{{2}}{HEX}{{32}}|{HEX}{{8}}(?:-{HEX}{{4}}){{3}}-{HEX}{{12}}|{HEX}{{20,}}")
MAX_ID_LENGTH = 40

# What stands before or after digits with a plus that are no phone number.
CURRENCY = (
    "(?:AED|ARS|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PLN|RON|RUB"
    "|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR)"
)
AMOUNT = re.compile(rf"([0-9]+(?: [0-9]{{3}})*\.[0-9]++)( ?(?:{CURRENCY}\b|[%$€£¥₹]))?")
MAX_AMOUNT_LENGTH = 80
UNIT_BEFORE = re.compile(rf"(?:\b{CURRENCY}|[$€£¥₹]) ?\Z")
CLOCK_BEFORE = re.compile(r"(?:[0-9]:[0-9]{2}(?:[.,][0-9]{1,9})?|T[0-9]{4}(?:[0-9]{2}(?:[.,][0-9]{1,9})?)?) ?\Z")
OFFSET = re.compile(r"(?:1[0-4]|1[0-4]00|1[01]30|1245)(?![0-9])")
"""Of at least ten hours: smaller ones begin with 0, as no number does. Without 1345, which is also an area code."""
ZONE_BEFORE = re.compile(r"\b(?:UTC|GMT)\Z")
ZONE_OFFSET = re.compile(r"(?:1[0-4]|[1-9])(?:[034][05])?(?![0-9])")
VERSION_BEFORE = re.compile(
    r"(?<![0-9A-Za-z.])(?P<v>v?)(?P<parts>(?:0|[1-9][0-9]{0,3})(?:\.(?:0|[1-9][0-9]{0,3})){1,2})"
    r"(?:-(?=[0-9.-]*[A-Za-z])[0-9A-Za-z.-]{1,20})?\Z"
)
SHORT_PARTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){2}")
DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])")
OPERAND_BEFORE = re.compile(r"[0-9)] ?\Z")
MAX_CONTEXT_LENGTH = 32
WITHOUT_FILLERS = str.maketrans("", "", FILLER + NO_WIDTH)


class Spelling(NamedTuple):
    """A number in a text."""

    start: int
    """Where its digits start, after the plus if it has one."""
    end: int
    digits: str
    """In ASCII."""


class _Skeleton(dict[int, int | str]):
    """What each character is in a skeleton; learned as characters occur."""

    def __missing__(self, code: int) -> int | str:
        self[code] = _plain(chr(code))
        return self[code]


def _plain(char: str) -> str:
    if (digit := unicodedata.digit(char, None)) is not None:
        return str(digit)
    category, normal = unicodedata.category(char), unicodedata.normalize("NFKC", char)
    if category in ("Cf", "Mn", "Me"):
        return NO_WIDTH
    if category == "Zs":
        return " "
    if category == "Pd" or char in "\u2212\u00b7\u2219\u22c5\u2027\u30fb\uff65\u2044\u2215":
        return "-"
    if char == "\u2795":
        return "+"
    return normal if len(normal) == 1 and normal.isascii() else char


_skeleton = _Skeleton()


def skeleton(text: str) -> str:
    """Return a text of the same length in which each character or escape is one plain character."""
    if "%" in text or "&" in text or "\\" in text:
        text = ESCAPE.sub(_decode, text)
    return text.translate(_skeleton)


def _decode(found: re.Match[str]) -> str:
    """Decode one escape; fillers keep its length."""
    escape = found[0]
    if escape[0] == "%":
        # A sequence that is no UTF-8 becomes a replacement character.
        char = bytes.fromhex("".join(BYTE.findall(escape))).decode("utf-8", "replace")
    elif escape[0] == "&":
        plain = "&" + re.sub("^&(?:amp;)*", "", escape)
        char = html.unescape(plain)
        if char == plain:
            return escape
    else:
        code = escape.lstrip("\\")
        char = {"/": "/", "t": "\t"}.get(code) or chr(int(code[1:], 16))
    return char[0] + FILLER * (len(escape) - 1)


def find_numbers(text: str) -> Iterator[Spelling]:
    """Find the numbers with a plus."""
    plain = skeleton(text)
    if "+" not in plain:
        return
    last_end = 0
    for found in NUMBER.finditer(plain):
        if found.start() == last_end > 0 or not _is_something_else(plain, found):
            last_end = found.end()
            yield _spelling(plain, found.end("plus"), found.end())


def _is_something_else(plain: str, found: re.Match[str]) -> bool:
    """Return whether digits with a plus are an amount, the offset of a time, part of a version, or a sum."""
    before = plain[max(0, found.start() - MAX_CONTEXT_LENGTH) : found.start()].translate(WITHOUT_FILLERS)
    said = found[0].translate(WITHOUT_FILLERS)[1:]
    at = found.end("plus")
    amount = AMOUNT.match(plain[at : at + MAX_AMOUNT_LENGTH].translate(WITHOUT_FILLERS))
    if amount and amount.end(1) >= len(said) and (amount[2] or UNIT_BEFORE.search(before)):
        return True
    if OFFSET.match(said) and CLOCK_BEFORE.search(before):
        return True
    if ZONE_OFFSET.match(said) and ZONE_BEFORE.search(before):
        return True
    if said[0] in SEPARATORS:
        return said.strip(SEPARATORS).isdigit() and OPERAND_BEFORE.search(before) is not None
    version = VERSION_BEFORE.search(before)
    return version is not None and bool(version["v"] or SHORT_PARTS.fullmatch(version["parts"]) or DATE.match(said))


def own_numbers(address: str) -> list[str]:
    """List the digits of the numbers in the `from` or `to` of a log."""
    return OWN_NUMBER.findall(skeleton(address).translate(WITHOUT_FILLERS))


def own_pattern(numbers: Iterable[str]) -> re.Pattern[str] | None:
    """Match these numbers without plus in a skeleton, with or without calling code, whose length is unknown."""
    ordered = sorted(set(numbers), key=len, reverse=True)
    if not ordered:
        return None
    whole = "|".join(map(_spaced, ordered))
    cut = dict.fromkeys(digits[size:] for digits in ordered for size in (1, 2, 3))
    national = "|".join(_spaced(part) for part in cut if len(part) >= MIN_NATIONAL_DIGITS)
    prefix, bracket = rf"0{F}(?:0{F}|1{F}1{F})?", rf"(?:\({F})?"
    local = rf"|(?:{prefix})?{bracket}(?:{national})" if national else ""
    return re.compile(
        rf"(?<![0-9])(?P<whole>{whole})(?![0-9])|(?<![0-9A-Za-z])(?:{prefix}{bracket}(?:{whole}){local})(?![0-9A-Za-z])"
    )


def _spaced(digits: str) -> str:
    return rf"(?:{S}|\+){{0,4}}".join(rf"{digit}{F}" for digit in digits)


def find_own(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[Spelling, bool]]:
    """Find numbers by `own_pattern`, and whether each has its calling code. Ids hold none."""
    plain = skeleton(text)
    for found in pattern.finditer(plain):
        start = max(0, found.start() - MAX_ID_LENGTH)
        ids = ID.finditer(plain, start, found.end() + MAX_ID_LENGTH)
        if not any(each.start() < found.end() and found.start() < each.end() for each in ids):
            yield _spelling(plain, found.start(), found.end()), found["whole"] is not None


def _spelling(plain: str, start: int, end: int) -> Spelling:
    said = plain[start:end]
    last_digit = len(said.rstrip(FILLER + NO_WIDTH))
    # What has no width after the last digit is not part of the number, but the rest of its escape is.
    trailing = said.find(NO_WIDTH, last_digit)
    return Spelling(start, end if trailing < 0 else start + trailing, re.sub("[^0-9]", "", said))
