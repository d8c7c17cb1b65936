"""Time zones whose names mean the same on every machine, local times and weekdays: as bodies of requests name them."""

from functools import cache
from typing import Annotated, Literal, get_args
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""In the order of `datetime.weekday()`."""
CLOCK_TIME = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
"""The pattern of a local time, such as `22:00`."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones, except those that mean the machine's own."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def is_zone(name: str) -> bool:
    """Check whether a zone of this name exists."""
    return name in zone_names()


def _check_zone(name: str) -> str:
    if not is_zone(name):
        message = "is not a time zone: use a name such as Europe/Berlin or UTC"
        raise PydanticCustomError("refused", "{message}", {"message": message})
    return name


ZoneName = Annotated[str, AfterValidator(_check_zone)]
ClockTime = Annotated[str, Field(pattern=CLOCK_TIME)]
