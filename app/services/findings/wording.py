"""Words for traits and findings. Pure."""

from collections.abc import Callable, Mapping

from app.services.findings.comparison import SharedTrait
from app.services.findings.traits import Trait
from app.utils.countries import country

Phrase = Callable[[str | int], str]

_LABELS: Mapping[str, Phrase] = {
    "to_country": lambda value: f"to {country(str(value))}",
    "from": lambda value: f"from {value}",
    "messaging_service_sid": lambda value: f"messaging service {value}",
    "error_code": lambda value: f"error {value}",
    "segments": lambda value: "1 segment" if value == 1 else f"{value} segments",
    "status": lambda value: f"status {value}",
    "hour": lambda value: _hour(int(value)),
    "link_domain": lambda value: f"text has a link to {value}",
    "first_words": lambda value: f"text begins with “{value}”",
}
_PREDICATES: Mapping[str, Phrase] = {
    "to_country": lambda value: f"went to {country(str(value))}",
    "from": lambda value: f"came from {value}",
    "messaging_service_sid": lambda value: f"used the messaging service {value}",
    "segments": lambda value: "had 1 segment" if value == 1 else f"had {value} segments",
    "hour": lambda value: f"were created {_hour(int(value))}",
    "link_domain": lambda value: f"had a link to {value}",
    "first_words": lambda value: f"began with “{value}”",
}


def _hour(hour: int) -> str:
    return f"between {hour:02}:00 and {(hour + 1) % 24:02}:00 UTC"


def label(trait: Trait) -> str:
    """Name a trait, for a table."""
    return _LABELS[trait.field](trait.value)


def sentence(finding: SharedTrait) -> str:
    """Write a finding as one sentence: `98% of them had a link to bit.ly, but only 11% of the others.`."""
    had = _PREDICATES[finding.trait.field](finding.trait.value)
    theirs = percent(finding.share_of_others) if finding.share_of_others else "none"
    return (
        f"{percent(finding.share)} of them {had}, but {'only ' if theirs[0].isdigit() else ''}{theirs} of the others."
    )


def percent(share: float) -> str:
    """Format a share as a percentage; only exact shares are 0% or 100%."""
    rounded = round(100 * share)
    if share and not rounded:
        return "under 1%"
    return "over 99%" if rounded == 100 and share < 1 else f"{rounded}%"
