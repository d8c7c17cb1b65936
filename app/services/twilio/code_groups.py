"""Names for groups of error codes, by subject (`family:...`) and by fault (`fault:...`), for patterns of rules.

They are resolved when rules are compiled, and never stored as codes: a newer catalogue changes what they mean.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from app.services.twilio import advice, error_codes
from app.services.twilio.advice import FAMILIES, GENERIC, SPANS, Advice

END = 100_000
"""Families and advice cover the codes below it. Higher codes have no known fault."""
LAST_CODE = 999_999
FAMILY, FAULT = "family:", "fault:"
BY_ADVICE: Mapping[str, tuple[str, tuple[Advice, ...]]] = {
    "messaging-filtering": ("Carriers or Twilio filter the message.", (advice.BLOCKED,)),
    "unreachable-numbers": ("The recipient cannot be reached.", (advice.UNREACHABLE,)),
    "sender-registration": ("The sender or campaign is not registered.", (advice.UNREGISTERED,)),
    "throughput": (
        "More was sent than the sender, campaign or account may.",
        (advice.THROUGHPUT, advice.QUEUE, advice.LIMIT),
    ),
    "traffic-pumping": ("Traffic was blocked as likely fraud.", (advice.PUMPING,)),
    "geographic-permissions": ("The country is not allowed.", (advice.GEO,)),
    "account-state": ("Balance, suspension or compliance of the account.", (advice.ACCOUNT,)),
    "certificates": ("The certificate of your server.", (advice.CERTIFICATE,)),
}
"""Families that cut across the ranges of codes."""
YOUR_SERVER = (advice.WEBHOOK, advice.CERTIFICATE, advice.TWIML, advice.SINK)
FAULTS = {
    "customer": "Something on your side: your code, your configuration or your account.",
    "your-server": "Your server: its webhooks, TwiML, certificates and sinks.",
    "carrier": "A carrier or the receiving handset.",
    "twilio": "Twilio.",
    "unknown": "Not known from the code alone.",
}

Ranges = tuple[tuple[int, int], ...]
"""First and last codes, both included, in order."""


@dataclass(frozen=True)
class CodeGroup:
    """A named group of error codes."""

    name: str
    """As in patterns, such as `family:messaging-filtering`."""
    description: str
    ranges: Ranges

    @property
    def known_codes(self) -> int:
        """How many codes of the catalogue are in it."""
        return error_codes.count_known(self.ranges)


def all_groups() -> Sequence[CodeGroup]:
    """List the groups of the current catalogue, by name."""
    return tuple(_groups(error_codes.generation()).values())


def is_group(item: str) -> bool:
    """Return whether an item of a pattern names a group."""
    return ":" in item


def ranges_of(name: str) -> Ranges:
    """Return the codes of a group.

    Raises: ValueError if there is no such group; the message suggests the closest name.
    """
    groups = _groups(error_codes.generation())
    if name in groups:
        return groups[name].ranges
    close = _closest(name.lower(), groups)
    meant = f"; did you mean {close}?" if close else ""
    raise ValueError(f"names no family or fault of error codes; GET /api/error-codes lists their names{meant}")


def _closest(name: str, groups: Iterable[str]) -> str | None:
    """Return the group of the most similar name: of the same kind, if there is such a kind, which is not compared."""
    kind, _, wanted = name.partition(":")
    of_kind = [group for group in groups if group.startswith(f"{kind}:")] or groups
    by_end = {group.partition(":")[2]: group for group in of_kind}
    return by_end.get(next(iter(get_close_matches(wanted.strip(), by_end, 1, 0.6)), ""))


@lru_cache(maxsize=2)
def _groups(_generation: int) -> Mapping[str, CodeGroup]:
    found = [*_ranges_of_families(), *_families_by_advice(), *_faults()]
    return {group.name: group for group in sorted(found, key=lambda group: group.name)}


def _ranges_of_families() -> Iterator[CodeGroup]:
    ends = [start - 1 for start, _ in FAMILIES[1:]] + [END - 1]
    subjects: dict[str, list[tuple[int, int]]] = {}
    for (start, subject), end in zip(FAMILIES, ends, strict=True):
        subjects.setdefault(subject, []).append((start, end))
    for subject, ranges in subjects.items():
        yield CodeGroup(FAMILY + _slug(subject), f"{subject}.", tuple(ranges))


def _slug(subject: str) -> str:
    return re.sub("[^a-z0-9]+", "-", subject.lower()).strip("-")


def _families_by_advice() -> Iterator[CodeGroup]:
    advices = _advices()
    for name, (description, wanted) in BY_ADVICE.items():
        codes = (code for code, found in enumerate(advices) if found in wanted)
        yield CodeGroup(FAMILY + name, description, _ranges(codes))


def _faults() -> Iterator[CodeGroup]:
    advices = _advices()
    faults = {code: error_codes.fault_of(code, found) for code, found in enumerate(advices)}
    faults |= {each.code: each.fault for each in error_codes.all_codes() if each.code >= END}
    for name, description in FAULTS.items():
        if name == "your-server":
            codes = [code for code, found in enumerate(advices) if found in YOUR_SERVER]
        else:
            codes = [code for code, fault in faults.items() if fault == name]
        beyond = _without([code for code in faults if code >= END]) if name == "unknown" else ()
        yield CodeGroup(FAULT + name, description, (*_ranges(codes), *beyond))


def _without(known: Sequence[int]) -> Ranges:
    """Return the ranges from `END` on without these codes."""
    starts = [END, *(code + 1 for code in known)]
    ends = [*(code - 1 for code in known), LAST_CODE]
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)


def _advices() -> list[Advice]:
    """Return the result of `advice_for` for every code, computed at once."""
    found = [GENERIC] * END
    for first, last, given in SPANS:
        found[first : last + 1] = [given] * (last - first + 1)
    return found


def _ranges(codes: Iterable[int]) -> Ranges:
    """Join sorted codes into ranges."""
    ranges: list[tuple[int, int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return tuple(ranges)
