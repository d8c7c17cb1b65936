"""`each`: a match opens an alert. Further matches belong to it until there are none for a while. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal

from app.services.rules.conditions.base import MatchCondition
from app.services.rules.episodes import Point
from app.services.rules.words import Phrase, RuleFacts


class Each(MatchCondition):
    """A log matches for the first time."""

    type: Literal["each"] = "each"

    def opens(self, points: Sequence[Point]) -> list[bool]:
        """Return for each match whether the condition holds: it does if the match counts towards no alert yet."""
        return [not point.counted for point in points]

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("as soon as ")
        yield rule.one
        yield from rule.matching
        yield Phrase(" appears.")
