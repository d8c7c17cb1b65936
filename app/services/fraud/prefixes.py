"""Prefixes that are expensive or known for traffic pumping. The list is not complete. Pure."""

from collections.abc import Mapping

from app.enums import LogType

SATELLITE_AND_PREMIUM: Mapping[str, str] = {
    "+870": "Inmarsat satellite phones",
    "+878": "universal personal numbers",
    "+881": "satellite networks",
    "+882": "international networks",
    "+883": "international networks",
    "+979": "international premium rate",
    "+1900": "premium rate in North America",
}
"""Hardly anybody uses these on purpose: every call and message is suspicious."""
KNOWN_FOR_PUMPING: Mapping[str, str] = {
    "+216": "Tunisia",
    "+220": "Gambia",
    "+222": "Mauritania",
    "+224": "Guinea",
    "+231": "Liberia",
    "+232": "Sierra Leone",
    "+235": "Chad",
    "+239": "Sao Tome and Principe",
    "+246": "Diego Garcia",
    "+247": "Ascension Island",
    "+252": "Somalia",
    "+257": "Burundi",
    "+261": "Madagascar",
    "+263": "Zimbabwe",
    "+269": "Comoros",
    "+290": "Saint Helena",
    "+500": "Falkland Islands",
    "+53": "Cuba",
    "+670": "Timor-Leste",
    "+675": "Papua New Guinea",
    "+677": "Solomon Islands",
    "+678": "Vanuatu",
    "+682": "Cook Islands",
    "+685": "Samoa",
    "+686": "Kiribati",
    "+688": "Tuvalu",
    "+690": "Tokelau",
    "+960": "Maldives",
    "+992": "Tajikistan",
    "+994": "Azerbaijan",
    "+4470": "personal numbers in the United Kingdom",
}
"""Calls there are expensive, and the owner of the number earns a share. Many of these calls are honest."""
HIGH_COST: Mapping[str, str] = {**SATELLITE_AND_PREMIUM, **KNOWN_FOR_PUMPING}
HIGH_COST_BY_TYPE: Mapping[LogType, Mapping[str, str]] = {
    LogType.CALL: HIGH_COST,
    LogType.MESSAGE: SATELLITE_AND_PREMIUM,
}
"""Countries known for pumped calls are left out for messages: only a new country or a surge is a sign there."""
START_LENGTH = max(map(len, HIGH_COST))
"""The number of leading characters that decide."""


def high_cost_prefix(start: str) -> str | None:
    """Return the longest prefix of the table that a number begins with.

    Args:    start: at least the first `START_LENGTH` characters of the number.
    """
    lengths = range(min(START_LENGTH, len(start)), 1, -1)
    return next((start[:length] for length in lengths if start[:length] in HIGH_COST), None)
