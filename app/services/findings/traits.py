"""The traits of one log: values that may distinguish logs that fail from others. Pure.

Links and first words are read from texts in memory, and are not stored.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

PLAIN_FIELDS = ("to_country", "from", "messaging_service_sid", "error_code", "segments", "status")
TEXT_FIELDS = ("link_domain", "first_words")
TraitField = Literal[
    "link_domain",
    "from",
    "messaging_service_sid",
    "to_country",
    "first_words",
    "segments",
    "hour",
    "error_code",
    "status",
]
"""All fields, the likeliest cause first."""
FIELDS: tuple[str, ...] = get_args(TraitField)
MAX_TEXT_LENGTH = 2_000
"""Only this much of a text is searched for links and words."""
FIRST_WORDS = 3
MAX_WORDS_LENGTH = 60
MAX_DOMAIN_LENGTH = 253
SCHEME = re.compile(r"https?://(?:[^/@]{0,100}@)?", re.IGNORECASE)
DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}")
DIGITS = re.compile(r"\d+")
QUOTES = "<>()[]{}\"'\u201c\u201d\u2018\u2019\u00ab\u00bb,;!?."


class TracedLog(NamedTuple):
    """The fields of a log that traits come from."""

    log_type: str
    to_country: str | None
    from_: str | None
    messaging_service_sid: str | None
    error_code: int | None
    segments: int | None
    status: str | None
    occurred_at: datetime
    text: str | None
    """None if texts are not stored."""


class Trait(NamedTuple):
    """A value that some logs share."""

    field: str
    """One of `FIELDS`."""
    value: str | int
    """Of `hour`: the hour of the day in UTC, 0 to 23."""


def traits_of(log: TracedLog) -> set[Trait]:
    """List the traits of a log. A field without a value is no trait."""
    values = (log.to_country, log.from_, log.messaging_service_sid, log.error_code, log.segments, log.status)
    found = {Trait(field, value) for field, value in zip(PLAIN_FIELDS, values, strict=True) if value is not None}
    found.add(Trait("hour", log.occurred_at.astimezone(UTC).hour))
    if log.text:
        text = log.text[:MAX_TEXT_LENGTH]
        found |= {Trait("link_domain", domain) for domain in link_domains(text)}
        if log.log_type == "message" and (words := first_words(text)):
            found.add(Trait("first_words", words))
    return found


def link_domains(text: str) -> Iterator[str]:
    """Find the domains that a text links to, in lower case, without `www.`.

    A domain without `https://` is a link if a path follows or it begins with `www.`: "Bye.See you" has none.
    """
    for word in text.split():
        if "." not in word:
            continue
        address, has_scheme = _address(word)
        host, slash, _ = address.partition("/")
        host = host.partition("?")[0].partition("#")[0].partition(":")[0].rstrip(QUOTES).lower()
        if not (has_scheme or slash or host.startswith("www.")):
            continue
        if len(host) <= MAX_DOMAIN_LENGTH and DOMAIN.fullmatch(host):
            yield host.removeprefix("www.")


def _address(word: str) -> tuple[str, bool]:
    """Cut off what stands before a link within a word, and its scheme."""
    found = SCHEME.search(word)
    return (word[found.end() :], True) if found else (word.lstrip(QUOTES), False)


def first_words(text: str) -> str:
    """Return the first three words in lower case. Digits become `#`, so that texts with different codes are equal."""
    words = [
        DIGITS.sub("#", word.strip(QUOTES + ":").lower()) for word in text.split(maxsplit=FIRST_WORDS)[:FIRST_WORDS]
    ]
    return " ".join(filter(None, words))[:MAX_WORDS_LENGTH]
