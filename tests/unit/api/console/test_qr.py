"""QR codes as paths."""

import re

import segno

from app.api.console.plots import qr

TEXT = "https://giftpulse.example.com/sign-in/phone?code=" + "x" * 43


def test_the_path_fills_exactly_the_dark_modules() -> None:
    drawn = qr.draw(TEXT)
    filled = {
        (int(x) + step - qr.QUIET, int(y) - qr.QUIET)
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", drawn.path)
        for step in range(int(length))
    }
    rows = segno.make_qr(TEXT, error="m").matrix
    assert filled == {(x, y) for y, row in enumerate(rows) for x, module in enumerate(row) if module}
    assert drawn.size == len(rows) + 2 * qr.QUIET
