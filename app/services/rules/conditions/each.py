"""`each`: an alert for a match of its own; further matches belong to it until there are none for a while. Pure."""

from collections.abc import Sequence

from app.services.rules.episodes import Point


def opens(points: Sequence[Point]) -> list[bool]:
    """Say for each match whether the condition holds at it: it does at each that counts towards no alert yet."""
    return [not point.counted for point in points]
