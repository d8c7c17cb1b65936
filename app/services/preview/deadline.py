"""The time that a preview may take, over all that it reads and judges."""

import time

from app.errors import FieldError, InvalidInput

MAX_SECONDS = 20
NARROW = "shorten the span or narrow the filters"
TOO_LONG = f"is too far back: the preview takes longer than {MAX_SECONDS} seconds; {NARROW}"


class Deadline:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._at = time.monotonic() + MAX_SECONDS

    def milliseconds_left(self) -> int:
        """Say how long a statement may still take.

        Raises: InvalidInput, once the time is up.
        """
        self.check()
        return max(1, int(1000 * (self._at - time.monotonic())))

    def check(self) -> None:
        """Go on only while there is time.

        Raises: InvalidInput, at `since`.
        """
        if time.monotonic() > self._at:
            raise InvalidInput([FieldError("since", TOO_LONG)])
