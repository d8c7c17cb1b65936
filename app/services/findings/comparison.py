"""Compares the traits of two samples of logs, and says whether one of them stands out. Pure."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.services.findings.traits import FIELDS, TracedLog, Trait, traits_of

MIN_LOGS = 20
"""With fewer logs on one side nothing is compared."""
MAX_ITEMS = 50
MIN_FINDING_SHARE = 0.8
MIN_FINDING_FACTOR = 2
MIN_FINDING_SCORE = 4.0
"""Standard errors that the shares must differ by: small samples differ by chance."""
OUTCOME_FIELDS = frozenset({"status", "error_code"})
"""These show how logs ended, not why, so they are no finding."""


@dataclass(frozen=True)
class SharedTrait:
    """A trait, and how many logs of each sample have it."""

    trait: Trait
    share: float
    """From 0 to 1."""
    share_of_others: float

    @property
    def difference(self) -> float:
        """How far apart the shares are."""
        return abs(self.share - self.share_of_others)


def compare(logs: Sequence[TracedLog], others: Sequence[TracedLog], without: Collection[str]) -> list[SharedTrait]:
    """Compare two samples, neither of them empty.

    Args:    without: fields that are left out.
    Returns: the traits of the first sample, the widest difference first; at most 50.
    """
    here, there = _count(logs), _count(others)
    shared = [
        SharedTrait(trait, here[trait] / len(logs), there[trait] / len(others))
        for trait in here
        if trait.field not in without
    ]
    shared.sort(key=_order)
    return shared[:MAX_ITEMS]


def _order(shared: SharedTrait) -> tuple[float, float, int, str]:
    """Order by difference, then by how likely the field is the cause. The order is stable."""
    return -shared.difference, -shared.share, FIELDS.index(shared.trait.field), str(shared.trait.value)


def _count(logs: Sequence[TracedLog]) -> Counter[Trait]:
    return Counter(trait for log in logs for trait in traits_of(log))


def strongest(
    shared: Sequence[SharedTrait], matched: int, others: int, without: Collection[str] = ()
) -> SharedTrait | None:
    """Find the trait that nearly all logs have and few others, by more than chance; None if there is none.

    Args:
        shared: in the order of `compare`.
        matched, others: the sizes of the samples.
        without: fields that are no finding.
    """
    for each in shared:
        is_common = each.share >= MIN_FINDING_SHARE and each.share >= MIN_FINDING_FACTOR * each.share_of_others
        is_news = each.trait.field not in OUTCOME_FIELDS and each.trait.field not in without
        if is_common and is_news and _score(each, matched, others) >= MIN_FINDING_SCORE:
            return each
    return None


def _score(shared: SharedTrait, matched: int, others: int) -> float:
    """Return the difference of two shares in standard errors (the two-proportion z-test, pooled)."""
    pooled = (shared.share * matched + shared.share_of_others * others) / (matched + others)
    error = math.sqrt(pooled * (1 - pooled) * (1 / matched + 1 / others))
    return shared.difference / error if error else 0.0
