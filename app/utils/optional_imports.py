"""Keeps libraries from loading what they would use only for themselves."""

import contextlib
import sys


def skip_unused() -> None:
    """Import structlog without Rich, and httpx later without its command line, which loads Rich and Pygments.

    They would take 4 MB in every process. Only our command line uses Rich, and imports it as usual.
    """
    # A module that is None in `sys.modules` cannot be imported.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    if "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]
        with contextlib.suppress(ImportError):  # `python -m app` says what is missing
            import structlog  # noqa: F401
        del sys.modules["rich"]
