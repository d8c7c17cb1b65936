"""Guesses which country people mean by a name, an ISO 3166 alpha-3 code, or a common abbreviation.

The names are read for each guess, since guesses are rare: they take no memory otherwise.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

# Source: ISO 3166-1 for alpha-3 codes; Unicode CLDR for names, in English, in large European languages and in the
# country's own, without those that contain a semicolon.
NAMES = Path(__file__).parent / "data" / "country_names.txt"
_ALIASES = {
    **dict.fromkeys(("UK", "EN", "ENGLAND", "SCOTLAND", "WALES", "BRITAIN", "GREAT BRITAIN", "U.K."), "GB"),
    **dict.fromkeys(("UNITED STATES OF AMERICA", "AMERICA", "U.S.", "U.S.A."), "US"),
    **dict.fromkeys(("UAE", "EMIRATES"), "AE"),
    "EL": "GR",
    "HOLLAND": "NL",
    "KOREA": "KR",
    "CZECH REPUBLIC": "CZ",
    "TURKEY": "TR",
    "BURMA": "MM",
    "VIET NAM": "VN",
    "SWAZILAND": "SZ",
    "MACEDONIA": "MK",
}
"""Common names that are in no list."""
MIN_SIMILARITY = 0.8
MIN_SIMILAR_LENGTH = 4
"""Shorter texts resemble many names by chance."""


def country_meant(value: str) -> str | None:
    """Return the ISO 3166 alpha-2 code of the country that a text probably means, in any case; None if unclear."""
    wanted = " ".join(value.upper().split())
    codes, names = _read()
    if wanted in names.values():
        return wanted
    if found := _ALIASES.get(wanted) or codes.get(wanted) or names.get(wanted):
        return found
    similar = get_close_matches(wanted, names, 1, MIN_SIMILARITY) if len(wanted) >= MIN_SIMILAR_LENGTH else []
    return names[similar[0]] if similar else None


def _read() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Read alpha-2 codes by alpha-3 code and by name in capitals."""
    codes: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in NAMES.read_text("utf-8").splitlines():
        code, longer_code, *spelled = line.split(";")
        codes[longer_code] = code
        for name in spelled:
            names.setdefault(name.upper(), code)
    return codes, names
