"""The unwatched codes of the overview: found at most once in a minute for a process, and again when a rule changed."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime

from app.database import session_scope
from app.errors import InvalidInput
from app.services import unwatched
from app.services.evaluation.rule_set import read_version
from app.services.unwatched import UnwatchedCode
from app.utils.clock import cut_to_second, utc_now

KEEP_SECONDS = 60.0
MAX_CODES = 6


class UnwatchedCache:
    """Keeps the codes of the last seven days."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Sequence[UnwatchedCode] = ()
        self._until = utc_now()
        self._version: int | None = None
        self._read_at = 0.0

    def get(self) -> tuple[Sequence[UnwatchedCode], datetime]:
        """Return the most frequent codes, none if there are too many logs, and the end of the seven days."""
        with self._lock, session_scope() as session:
            version, now = read_version(session), time.monotonic()
            if version != self._version or now - self._read_at > KEEP_SECONDS:
                until = cut_to_second(utc_now())
                try:
                    found = unwatched.find_unwatched(session, until - unwatched.SHOWN_SPAN, until)
                except InvalidInput:
                    found = []
                self._kept, self._until = found[:MAX_CODES], until
                self._version, self._read_at = version, now
            return self._kept, self._until
