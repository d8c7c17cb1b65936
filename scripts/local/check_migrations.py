"""Checks, without a database, that the migrations are one line: each after the one before it, none missing or twice."""

import sys
import warnings
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

FOLDER = Path(__file__).resolve().parents[2] / "alembic"


def problems(folder: Path) -> list[str]:
    """List what is wrong with the migrations of a folder, one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # alembic only warns of a revision that is missing or there twice
        try:
            directory = ScriptDirectory(str(folder))
            heads = directory.get_heads()
            revisions = [*directory.walk_revisions()]
        except (CommandError, KeyError, UserWarning) as error:
            return [f"{folder}: {error}"]
    found = [f"{folder}: two migrations are the last one: {', '.join(sorted(heads))}"] if len(heads) > 1 else []
    misnamed = [each for each in revisions if not Path(each.path).name.startswith(f"{each.revision}_")]
    return [*found, *(f"{each.path}: is revision {each.revision}" for each in misnamed)]


def main() -> int:
    found = problems(FOLDER)
    print("\n".join(found) or "migrations: one line")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
