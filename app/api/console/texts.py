"""Times, durations, numbers and names as the console shows them, in the viewer's zone. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.enums import OTHER_VALUE
from app.utils.calendar_edges import to_zone

MINUS = "\N{MINUS SIGN}"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def moment(at: datetime, zone: ZoneInfo, now: datetime, *, seconds: bool = False) -> str:
    """Write a time: `02:41` today, `yesterday 21:10`, `26 Nov 14:03` this year, else with the year."""
    local, today = to_zone(at, zone), to_zone(now, zone)
    clock = local.strftime("%H:%M:%S" if seconds else "%H:%M")
    days = (today.date() - local.date()).days
    if days == 0:
        return clock
    if days == 1:
        return f"yesterday {clock}"
    date = f"{local.day} {local:%b}" if local.year == today.year else f"{local.day} {local:%b %Y}"
    return f"{date} {clock}"


def day(at: datetime, zone: ZoneInfo) -> str:
    """Write a day: `Sat 21 Nov`."""
    local = to_zone(at, zone)
    return f"{local:%a} {local.day} {local:%b}"


def local_field(at: datetime, zone: ZoneInfo) -> str:
    """Write a time as a browser's date and time field has it."""
    return f"{to_zone(at, zone):%Y-%m-%dT%H:%M}"


def read_local_field(text: str, zone: ZoneInfo) -> datetime | None:
    """Read the value of a date and time field, as UTC; None if it is no time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_zone(at.replace(tzinfo=zone) if at.tzinfo is None else at, UTC)


def duration(span: timedelta) -> str:
    """Write a duration in one or two units: `12 s`, `23 min`, `4 h 35 min`, `3 d 2 h`."""
    if span < MINUTE:
        return f"{max(0, int(span.total_seconds()))} s"
    minutes = int(span / MINUTE)
    if span < HOUR:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if span < DAY:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def percent(share: float) -> str:
    """Write a share from 0 to 1 as a percentage; only exactly everything is 100%."""
    shown = 100 * share
    if 99.95 <= shown < 100:
        return "99.9%"
    return f"{shown:.1f}".removesuffix(".0") + "%"


def change(now: float, before: float) -> str | None:
    """Write the change against an earlier value: `+6%`, `-3%`; None if that was zero."""
    if before <= 0:
        return None
    changed = round(100 * (now - before) / before)
    return f"{'+' if changed > 0 else MINUS if changed < 0 else '±'}{abs(changed):,}%"


PACK_TITLES = {"10dlc": "10DLC", "voice_sip": "Voice and SIP", "silence": "Traffic that stopped"}


def pack_title(name: str) -> str:
    """Write the name of a rule pack for people."""
    return PACK_TITLES.get(name) or name.replace("_", " ").capitalize()


NOTICES = {
    "alert.firing": "Firing",
    "alert.update": "Update",
    "alert.resolved": "Resolved",
    "alert.digest": "Digest",
    "action.test": "Test",
    "report": "Report",
}


def notice(delivery_type: str) -> str:
    """Name what a delivery of a type brings."""
    return NOTICES.get(delivery_type, delivery_type)


FAULTS = {"customer": "your side", "carrier": "the carrier", "twilio": "Twilio"}


def fault(name: str) -> str:
    """Describe whose fault an error code is."""
    return FAULTS.get(name, "not known")


def group_value(value: object) -> str:
    """Name a value of a group: also of the group without a value, and of the one beyond the first 500."""
    if value is None:
        return "none"
    return "all others" if value == OTHER_VALUE else str(value)
