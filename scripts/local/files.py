"""Files that are written whole or not at all, and the room that there is for them."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read; where that fails, the old one stays as it is.

    Raises: OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # which nobody else can read
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def free_mebibytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free // (1 << 20)
