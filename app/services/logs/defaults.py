"""Fields of Twilio's records that follow from a log's SIDs or nearly always have one value: never stored. Pure."""

from functools import lru_cache
from typing import Any

API_VERSION = "2010-04-01"
MISSING = "-"
"""In `rest`: names of fields that Twilio always sends and that were missing."""
PARTS = "~"
"""In `rest`: names of a resource's parts, if they are not the usual ones."""
UNREADABLE = "?"
"""In `rest`: reasons why fields could not be read, by name; the raw value is under the name itself."""
OWN_KEYS = (MISSING, PARTS, UNREADABLE)
MESSAGE_PARTS = ("media", "feedback")
CALL_PARTS = ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions")


def message_defaults(account_sid: str | None, sid: str) -> dict[str, Any]:
    """Return the default fields of a message."""
    home = f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}"
    return {
        "num_media": "0",
        "api_version": API_VERSION,
        "uri": f"{home}.json",
        "subresource_uris": parts_of(home, MESSAGE_PARTS),
    }


def call_defaults(account_sid: str | None, sid: str) -> dict[str, Any]:
    """Return the default fields of a call."""
    home = f"/2010-04-01/Accounts/{account_sid}/Calls/{sid}"
    return {
        "parent_call_sid": None,
        "group_sid": None,
        "trunk_sid": None,
        "forwarded_from": None,
        "caller_name": None,
        "answered_by": None,
        "queue_time": "0",
        "api_version": API_VERSION,
        "uri": f"{home}.json",
        "subresource_uris": parts_of(home, CALL_PARTS),
    }


def parts_of(home: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the URLs of a resource's parts by name."""
    return {name: home + _path(name) for name in names}


@lru_cache(maxsize=256)
def _path(name: str) -> str:
    return "/" + "".join(word.capitalize() for word in name.split("_")) + ".json"
