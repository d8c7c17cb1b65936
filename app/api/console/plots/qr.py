"""QR codes as an SVG path. Pure."""

from typing import NamedTuple

import segno

QUIET = 4
"""Light modules around the code, as ISO/IEC 18004 asks."""


class QrCode(NamedTuple):
    """A code in a plane of `size` by `size` modules."""

    size: int
    path: str


def draw(text: str) -> QrCode:
    """Encode a text and draw its dark modules as bars, row by row."""
    rows = segno.make_qr(text, error="m").matrix
    drawn = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            length = next((number for number, module in enumerate(row[x:]) if not module), len(row) - x)
            if length:
                drawn.append(f"M{x + QUIET} {y + QUIET}h{length}v1h-{length}z")
            x += max(1, length)
    return QrCode(len(rows) + 2 * QUIET, "".join(drawn))
