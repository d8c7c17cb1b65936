"""Facts: prefixes that cost much, or that are known for traffic pumping. A starting point, not a list of all. Pure."""

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
"""Hardly anybody calls or writes to these on purpose: each call and message is worth a look."""
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
"""Calls there are dear, and part of the price goes to whoever runs the numbers. Many have honest callers, too."""
HIGH_COST: Mapping[str, str] = {**SATELLITE_AND_PREMIUM, **KNOWN_FOR_PUMPING}
HIGH_COST_BY_TYPE: Mapping[LogType, Mapping[str, str]] = {
    LogType.CALL: HIGH_COST,
    LogType.MESSAGE: SATELLITE_AND_PREMIUM,
}
"""Messages to a country known for calls that are pumped are no sign of themselves: a new country or a surge is."""
START_LENGTH = max(map(len, HIGH_COST))
"""So many characters of a number decide."""


def high_cost_prefix(start: str) -> str | None:
    """Return the longest prefix of the table that a number begins with.

    Args:    start: at least the first `START_LENGTH` characters of the number.
    """
    lengths = range(min(START_LENGTH, len(start)), 1, -1)
    return next((start[:length] for length in lengths if start[:length] in HIGH_COST), None)
