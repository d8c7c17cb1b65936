"""The unwatched codes of the overview."""

from collections.abc import Sequence
from datetime import datetime

from app.database import session_scope
from app.errors import InvalidInput
from app.services import unwatched
from app.services.unwatched import UnwatchedCode
from app.utils.clock import cut_to_second, utc_now

KEEP_SECONDS = 60.0
MAX_CODES = 6


def read_unwatched(_rule_set_version: int) -> tuple[Sequence[UnwatchedCode], datetime]:
    """Return the most frequent codes of the last seven days, none if there are too many logs, and their end.

    Args:    _rule_set_version: so that a cache reads them again when a rule changes.
    """
    until = cut_to_second(utc_now())
    try:
        with session_scope() as session:
            found = unwatched.find_unwatched(session, until - unwatched.SHOWN_SPAN, until)
    except InvalidInput:
        found = []
    return found[:MAX_CODES], until
