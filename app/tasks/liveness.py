"""A file that a process touches while its event loop runs, for health checks without Python."""

from pathlib import Path

import structlog

log = structlog.get_logger()


class LivenessFile:
    """The file in `LIVENESS_PATH`; none if that is empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failed = False

    def touch(self) -> None:
        """Set the file's time to now. A failure is logged once and does not stop the process."""
        if self._path is None:
            return
        try:
            self._path.touch()
        except OSError as error:
            if not self._failed:
                log.error("the liveness file cannot be touched: see LIVENESS_PATH", reason=error.strerror)  # noqa: TRY400 - no stack helps
            self._failed = True
        else:
            self._failed = False
