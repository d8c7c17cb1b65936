"""The options of `scripts/start`. Needs only Python, so that `--help` and mistakes install nothing."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPBACK = "127.0.0.1"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in one line."""
        self.exit(2, f"giftpulse: {message.removeprefix('argument ')}; scripts/start --help lists the options\n")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options; `--help` and invalid options end the process."""
    parser = _Parser(
        prog="scripts/start", description="Runs all of GiftPulse on this machine; Ctrl-C stops it, the data stay."
    )
    parser.add_argument("--host", default=LOOPBACK, help="where the API listens; 0.0.0.0 means everywhere")
    parser.add_argument("--port", type=_port, help="the API's port; 8000, or another where that is taken")
    parser.add_argument("--folder", type=Path, default=ROOT / ".giftpulse", help="where the data are kept")
    return parser.parse_args(words)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError("a port is a whole number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    parse()
