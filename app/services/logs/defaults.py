"""Those of Twilio's fields that follow from the sids of a log, or are nearly always the same: never stored. Pure."""

from functools import lru_cache
from typing import Any

API_VERSION = "2010-04-01"
MISSING = "-"
"""In `rest`: the names of fields that Twilio always sends and had not sent."""
PARTS = "~"
"""In `rest`: the names of a resource's parts, where they are not the usual ones."""
UNREADABLE = "?"
"""In `rest`: why fields could not be read, by their names; what was there stands under the name itself."""
OWN_KEYS = (MISSING, PARTS, UNREADABLE)
MESSAGE_PARTS = ("media", "feedback")
CALL_PARTS = ("notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions")


def message_defaults(account_sid: str | None, sid: str) -> dict[str, Any]:
    """Give those fields of a message."""
    home = f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}"
    return {
        "num_media": "0",
        "api_version": API_VERSION,
        "uri": f"{home}.json",
        "subresource_uris": parts_of(home, MESSAGE_PARTS),
    }


def call_defaults(account_sid: str | None, sid: str) -> dict[str, Any]:
    """Give those fields of a call."""
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
    """Give the addresses of the parts of a resource, by their names."""
    return {name: home + _place(name) for name in names}


@lru_cache(maxsize=256)
def _place(name: str) -> str:
    return "/" + "".join(word.capitalize() for word in name.split("_")) + ".json"
