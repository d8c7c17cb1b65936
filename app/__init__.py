"""GiftPulse: watches Twilio accounts and tells people and systems when something goes wrong."""

import contextlib
import sys

__version__ = "0.1.0"

# structlog (for its own tracebacks) and httpx (for its own command line) load Rich and Pygments if they can: 4 MB in
# every process. Only our command line uses Rich. A module that is None in `sys.modules` cannot be imported.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    with contextlib.suppress(ImportError):  # `python -m app` says what is missing
        import structlog  # noqa: F401
    del sys.modules["rich"]
