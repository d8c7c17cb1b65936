"""The file that a process touches while its loop turns, for health checks that start no Python."""

from pathlib import Path

import structlog

log = structlog.get_logger()


class LivenessFile:
    """The file that `LIVENESS_PATH` names; where it names none, nothing is touched."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failed = False

    def touch(self) -> None:
        """Set the file's time to now. A file that cannot be touched is no reason to stop: it is logged once."""
        if self._path is None:
            return
        try:
            self._path.touch()
        except OSError as error:
            if not self._failed:
                log.error("the liveness file cannot be touched: see LIVENESS_PATH", reason=error.strerror)
            self._failed = True
        else:
            self._failed = False
