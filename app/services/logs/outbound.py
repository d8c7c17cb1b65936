"""Twilio's directions of logs that the account itself sent. Pure."""

from collections.abc import Mapping

from app.enums import LogType

OUTBOUND: Mapping[LogType, tuple[str, ...]] = {
    LogType.MESSAGE: ("outbound-api", "outbound-call", "outbound-reply"),
    LogType.CALL: ("outbound-api", "outbound-dial", "trunking-originating"),
}
