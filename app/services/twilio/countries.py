"""The country of a phone number, by its prefix. Pure."""

import re
from functools import lru_cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumber, region_code_for_number

CHANNELS = ("whatsapp:", "rcs:", "messenger:", "sms:")
DECIDED_BY_AREA = {1: "2345678", 7: "1234567"}
"""Calling codes shared by large countries: three digits of area code decide, with any subscriber number."""
DECIDING_DIGITS = 6
"""The number of digits that decide for other shared calling codes."""
ANONYMOUS = "+266696687"
"""Twilio's placeholder for a withheld number: the word on a keypad."""
NOWHERE = "001"
"""The library's region of calling codes that belong to no country, such as +800."""

_E164 = re.compile(r"\+[1-9][0-9]{3,17}")


def load() -> None:
    """Load the tables of all shared calling codes now, not at the first such number."""
    for calling_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        if len(regions) > 1:
            _region(calling_code, DECIDED_BY_AREA.get(calling_code, "1234567890"))
            for region in regions:
                PhoneMetadata.metadata_for_region(region)


def country_of(address: str | None) -> str | None:
    """Return the ISO 3166 alpha-2 country of an address that is a phone number.

    The prefix decides, whether or not the number is valid. None if it is no international number (a short code, name,
    client or SIP address), or if several countries share the prefix and the number does not decide.
    """
    if address is None:
        return None
    if address.startswith(CHANNELS):
        address = address.partition(":")[2]
    if not address.startswith("+") or address == ANONYMOUS:
        return None
    return _country_of_prefix(address[:5], address) if _E164.fullmatch(address) else None


def _country_of_prefix(start: str, number: str) -> str | None:
    calling_code = _calling_code(start)
    if calling_code is None:
        return None
    regions = COUNTRY_CODE_TO_REGION_CODE[calling_code]
    if len(regions) == 1:
        return None if regions[0] == NOWHERE else regions[0]
    national = number[1 + len(str(calling_code)) :]
    if calling_code in DECIDED_BY_AREA:
        return _country_of_area(calling_code, national[:3])
    return _country_of_shared(calling_code, national[:DECIDING_DIGITS], len(national)) or regions[0]


@lru_cache(maxsize=16_384)
def _calling_code(start: str) -> int | None:
    """Find the calling code at the start of a number: one to three digits; no code is the prefix of another."""
    for length in (1, 2, 3):
        code = int(start[1 : 1 + length])
        if code in COUNTRY_CODE_TO_REGION_CODE:
            return code
    return None


@lru_cache(maxsize=4096)
def _country_of_area(calling_code: int, area: str) -> str | None:
    if len(area) < 3:
        return None
    return _region(calling_code, area + DECIDED_BY_AREA[calling_code])


@lru_cache(maxsize=65_536)
def _country_of_shared(calling_code: int, digits: str, length: int) -> str | None:
    return _region(calling_code, digits.ljust(length, "1"))


def _region(calling_code: int, national: str) -> str | None:
    number = PhoneNumber(
        country_code=calling_code, national_number=int(national), italian_leading_zero=national.startswith("0") or None
    )
    region: str | None = region_code_for_number(number)
    return region
