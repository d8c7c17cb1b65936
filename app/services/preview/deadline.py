"""The time limit of a preview, over all reading and evaluating."""

import time

from app.errors import FieldError, InvalidInput

MAX_SECONDS = 20
NARROW = "shorten the span or narrow the filters"
TOO_LONG = f"is too far back: the preview takes longer than {MAX_SECONDS} seconds; {NARROW}"


class Deadline:
    """A time limit that starts when it is created.

    Args:    seconds: by default those of a preview.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._at = time.monotonic() + (MAX_SECONDS if seconds is None else seconds)

    def seconds_left(self) -> float:
        """Return the remaining time for a statement.

        Raises: InvalidInput when the time is up.
        """
        self.check()
        return self._at - time.monotonic()

    def check(self) -> None:
        """Stop when the time is up.

        Raises: InvalidInput, for the field `since`.
        """
        if time.monotonic() > self._at:
            raise InvalidInput([FieldError("since", TOO_LONG)])
