"""`python -m app`: the command line. What it needs may be missing here; that is said in one line."""

import sys
from importlib.util import find_spec

NEEDED = ("typer", "sqlalchemy", "dotenv", "celery")
"""Packages that come together; a Python that lacks one is not the one that GiftPulse was installed for."""

if sys.version_info < (3, 11):  # noqa: UP036  # it may be started with any Python
    sys.exit("giftpulse: Python 3.11 or newer is needed: run .venv/bin/python -m app, which scripts/start makes")
if any(find_spec(name) is None for name in NEEDED):
    sys.exit(
        f"giftpulse: {sys.executable} lacks what GiftPulse needs:"
        " run .venv/bin/python -m app, which scripts/start makes, or install requirements.txt"
    )

from app.cli import main  # noqa: E402  # only now is it known that this can be imported

main()
