"""Planted causes are found, and chance is not taken for one."""

from random import Random
from typing import Any

import pytest

from app.services.findings import wording
from app.services.findings.comparison import SharedTrait, compare, strongest
from app.services.findings.traits import TracedLog, Trait
from tests.unit.services.findings.test_traits import traced

SENDERS = [f"+1415555{number:04}" for number in range(6)]
COUNTRIES = ["US"] * 6 + ["GB"] * 3 + ["DE"]
TEXTS = [
    "Your parcel waits",
    "Your code is 1",
    "Sale today bit.ly/x",
    "Sale ends www.example.com",
    "Hello there friend",
]


def random_log(random: Random, hours: int = 6) -> TracedLog:
    plain = traced()
    return plain._replace(
        from_=random.choice(SENDERS),
        to_country=random.choice(COUNTRIES),
        segments=random.choice([1, 1, 1, 2]),
        text=random.choice(TEXTS),
        messaging_service_sid=random.choice(["MG1", "MG1", None]),
        occurred_at=plain.occurred_at.replace(hour=random.randrange(hours)),
    )


def finding_of(logs: list[TracedLog], others: list[TracedLog]) -> SharedTrait | None:
    return strongest(compare(logs, others, ()), len(logs), len(others))


def test_no_cause_is_found_where_there_is_none_in_200_random_incidents() -> None:
    for seed in range(200):
        random = Random(seed)
        logs = [random_log(random, hours=random.choice([1, 6]))._replace(status="failed", error_code=30003)]
        logs += [random_log(random)._replace(status="failed", error_code=30003) for _ in range(random.randint(19, 200))]
        others = [random_log(random) for _ in range(random.randint(20, 200))]
        assert finding_of(logs, others) is None, seed


@pytest.mark.parametrize(
    ("planted", "field"),
    [
        ({"text": "Win now bad.example/1"}, "link_domain"),
        ({"from_": "+19995550000"}, "from"),
        ({"to_country": "FR"}, "to_country"),
        ({"occurred_at": traced().occurred_at.replace(hour=23)}, "hour"),
        ({"segments": 4}, "segments"),
        ({"messaging_service_sid": "MG2"}, "messaging_service_sid"),
    ],
)
def test_a_planted_cause_is_found_among_stray_failures(planted: dict[str, Any], field: str) -> None:
    for seed in range(20):
        random = Random(seed)
        logs = [random_log(random) for _ in range(6)] + [random_log(random)._replace(**planted) for _ in range(54)]
        others = [random_log(random) for _ in range(90)] + [random_log(random)._replace(**planted) for _ in range(6)]
        found = finding_of(logs, others)
        assert found is not None
        assert found.trait.field == field
        assert found.share >= 0.9


def test_shares_are_exact_and_the_widest_difference_comes_first() -> None:
    logs = [traced(to_country="GB")] * 15 + [traced(to_country="US")] * 5
    others = [traced(to_country="GB")] * 5 + [traced(to_country="US")] * 20
    shared = compare(logs, others, ())
    assert [(each.trait, each.share, each.share_of_others) for each in shared[:2]] == [
        (Trait("to_country", "GB"), 0.75, 0.2),
        (Trait("to_country", "US"), 0.25, 0.8),
    ]
    assert [each.trait.field for each in compare(logs, others, {"to_country"})] == [
        "from",
        "segments",
        "hour",
        "status",
    ]


def test_how_logs_ended_is_no_finding() -> None:
    logs = [traced(status="failed", error_code=30007)] * 50
    assert finding_of(logs, [traced()] * 50) is None


def test_a_difference_that_twenty_logs_may_have_by_chance_is_no_finding() -> None:
    logs = [traced(to_country="GB")] * 16 + [traced(to_country="US")] * 4
    others = [traced(to_country="GB")] * 8 + [traced(to_country="US")] * 12
    assert finding_of(logs, others) is None
    assert finding_of(logs * 10, others * 10) is not None


@pytest.mark.parametrize(
    ("trait", "share", "others", "said"),
    [
        (
            Trait("link_domain", "bit.ly"),
            0.98,
            0.11,
            "98% of them had a link to bit.ly, but only 11% of the others.",
        ),
        (Trait("from", "+14155550100"), 1.0, 0.0, "100% of them came from +14155550100, but none of the others."),
        (
            Trait("hour", 23),
            0.999,
            0.004,
            "over 99% of them were created between 23:00 and 00:00 UTC, but under 1% of the others.",
        ),
        (Trait("segments", 2), 0.85, 0.4, "85% of them had 2 segments, but only 40% of the others."),
        (
            Trait("to_country", "GB"),
            0.9,
            0.1,
            "90% of them went to United Kingdom (GB), but only 10% of the others.",
        ),
    ],
)
def test_a_finding_is_one_sentence(trait: Trait, share: float, others: float, said: str) -> None:
    assert wording.sentence(SharedTrait(trait, share, others)) == said
