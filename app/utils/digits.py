"""Reads codes and other small numbers from texts of unknown origin. Pure."""

MAX_DIGITS = 9
"""Every such number fits into a column of 32 bits."""


def read_digits(text: str) -> int | None:
    """Read a whole number of at most nine ASCII digits; None if the text is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
